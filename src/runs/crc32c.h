// CRC-32C (Castagnoli's polynomial), which TensorBoard's files check their records with.
#pragma once

#include <cstdint>
#include <string_view>

namespace longspan {

std::uint32_t Crc32c(std::string_view bytes);

}  // namespace longspan
