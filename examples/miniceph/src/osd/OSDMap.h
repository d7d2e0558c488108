#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

/// What everybody must agree on: the devices and the pools. Kept by the monitor in one file.
struct OSDMap {
  unsigned epoch = 0;
  std::vector<int> osds;
  std::set<std::string> pools;

  /// Throws ceph::Error where there is no map, or none that can be read.
  static OSDMap load(const std::filesystem::path& data);

  /// Write the next epoch, whole or not at all.
  void save(const std::filesystem::path& data);

  /// The devices that hold an object: two, the primary first.
  std::vector<int> locate(const std::string& pool, const std::string& object) const;
};
