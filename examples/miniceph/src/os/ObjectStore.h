#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The objects of one device: a file each, headed by the checksum of what follows.
class ObjectStore {
 public:
  ObjectStore(const std::filesystem::path& data, int osd);

  void put(const std::string& pool, const std::string& object, std::string_view bytes);

  /// Nothing where the object is missing, or its bytes are not those that were written.
  std::optional<std::string> get(const std::string& pool, const std::string& object) const;

  bool remove(const std::string& pool, const std::string& object);
  std::vector<std::string> list(const std::string& pool) const;

 private:
  std::filesystem::path path(const std::string& pool, const std::string& object) const;

  std::filesystem::path folder_;
};
