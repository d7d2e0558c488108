#pragma once

#include <string>
#include <vector>

namespace crush {

/// The devices that hold a placement group, the primary first. Each draws a straw and the longest win,
/// so a device that comes or goes moves only its own share.
std::vector<int> place(const std::string& group, const std::vector<int>& devices, std::size_t count);

/// The placement group of an object: one of 32 in its pool.
std::string group_of(const std::string& pool, const std::string& object);

}  // namespace crush
