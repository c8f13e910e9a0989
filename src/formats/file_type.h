// GGUF's general.file_type: one number for the mix of types that a file's matrices have (llama.cpp's
// llama_ftype).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tensor/type.h"

namespace longspan {

struct FileType {
  std::uint32_t id;
  Type type;  // what most matrices have
  std::string_view name;
};

// The first entry of a type is written when nothing else is asked for.
inline constexpr std::array<FileType, 33> kFileTypes{
    {{0, Type::kF32, "F32"},          {1, Type::kF16, "F16"},        {32, Type::kBF16, "BF16"},
     {2, Type::kQ4_0, "Q4_0"},        {3, Type::kQ4_1, "Q4_1"},      {8, Type::kQ5_0, "Q5_0"},
     {9, Type::kQ5_1, "Q5_1"},        {7, Type::kQ8_0, "Q8_0"},      {10, Type::kQ2_K, "Q2_K"},
     {21, Type::kQ2_K, "Q2_K_S"},     {12, Type::kQ3_K, "Q3_K_M"},   {11, Type::kQ3_K, "Q3_K_S"},
     {13, Type::kQ3_K, "Q3_K_L"},     {15, Type::kQ4_K, "Q4_K_M"},   {14, Type::kQ4_K, "Q4_K_S"},
     {17, Type::kQ5_K, "Q5_K_M"},     {16, Type::kQ5_K, "Q5_K_S"},   {18, Type::kQ6_K, "Q6_K"},
     {24, Type::kIQ1_S, "IQ1_S"},     {31, Type::kIQ1_M, "IQ1_M"},   {19, Type::kIQ2_XXS, "IQ2_XXS"},
     {20, Type::kIQ2_XS, "IQ2_XS"},   {28, Type::kIQ2_XS, "IQ2_S"},  {29, Type::kIQ2_S, "IQ2_M"},
     {23, Type::kIQ3_XXS, "IQ3_XXS"}, {26, Type::kIQ3_S, "IQ3_S"},   {22, Type::kIQ3_S, "IQ3_XS"},
     {27, Type::kIQ3_S, "IQ3_M"},     {25, Type::kIQ4_NL, "IQ4_NL"}, {30, Type::kIQ4_XS, "IQ4_XS"},
     {36, Type::kTQ1_0, "TQ1_0"},     {37, Type::kTQ2_0, "TQ2_0"},   {38, Type::kMXFP4, "MXFP4"}}};

}  // namespace longspan
