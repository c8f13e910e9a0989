// Text from elsewhere, made safe for a message that a terminal shows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace longspan {

// `text` with what is not printable ASCII as \xNN, cut after `limit` characters.
std::string Printable(std::string_view text, std::size_t limit = 80);

}  // namespace longspan
