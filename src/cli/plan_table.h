// A job's plan as a person reads it.
#pragma once

#include "plan/job_plan.h"

namespace longspan {

void PrintPlan(const JobPlan& plan);

}  // namespace longspan
