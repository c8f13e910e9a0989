#include "convert/hf_names.h"

#include "model/weight_id.h"

namespace longspan {

std::string HfTensorName(std::string_view name) { return HfName(WeightNamed(name)); }

bool IsRedundantHfTensor(std::string_view hf_name) { return hf_name.ends_with("rotary_emb.inv_freq"); }

bool HasRotatedRows(std::string_view name) {
  const auto id = ParseWeightId(name);
  return id && Traits(id->part).rotated;
}

}  // namespace longspan
