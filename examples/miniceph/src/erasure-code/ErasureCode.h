#pragma once

#include <string>
#include <vector>

/// What an erasure-code plugin's `__erasure_code` does: from chunks of equal length, the one that replaces
/// any of them that is lost, together with the others.
using ErasureCode = std::string (*)(const std::vector<std::string>& chunks);
