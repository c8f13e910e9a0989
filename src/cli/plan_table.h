// Prints a job's plan for a person.
#pragma once

#include "plan/job_plan.h"

namespace longspan {

void PrintPlan(const JobPlan& plan);

}  // namespace longspan
