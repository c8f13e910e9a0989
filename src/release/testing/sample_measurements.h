// What the tests of this folder share.
#pragma once

#include <string>
#include <string_view>

#include "base/testing/temporary_folder.h"
#include "release/measurements.h"

namespace longspan {

// What keeps `text` from being one well-formed XML element, or nothing. Knows the XML that Svg writes:
// elements, double-quoted attributes, the five named entities and decimal references.
std::string XmlFault(std::string_view text);

// A run of the demo's shape, every number different from every other.
Measurements ExampleMeasurements();

}  // namespace longspan
