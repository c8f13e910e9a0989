#include "text/hf_tokenizer.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {}  // namespace
}  // namespace longspan
