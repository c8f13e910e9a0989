// What sets one architecture apart from another: a row for each.
#pragma once

#include <string_view>

#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weight_id.h"

namespace longspan {

struct ArchitectureTraits {
  Architecture architecture;
  std::string_view name;         // GGUF's general.architecture
  RopePairing pairing;           // what RoPE turns together in GGUF's order of rows
  bool reorders_rows;            // GGUF has the rows of q and k in another order than Hugging Face
  bool always_biased;            // q, k and v have biases, whether config.json says so or not
  bool has_hugging_face_o_bias;  // in a checkpoint o has a bias where q, k and v have; it is zero
};

const ArchitectureTraits& Traits(Architecture architecture);

// Whether GGUF has this part's rows in another order than Hugging Face.
bool IsReordered(Architecture architecture, Part part);

}  // namespace longspan
