#include "os/ObjectStore.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "common/crc32c.h"
#include "common/tool.h"

static std::string head_of(std::string_view bytes) {
  char head[9];
  std::snprintf(head, sizeof head, "%08x", ceph_crc32c(bytes));
  return head;
}

ObjectStore::ObjectStore(const std::filesystem::path& data, int osd)
    : folder_(data / ("osd." + std::to_string(osd))) {}

std::filesystem::path ObjectStore::path(const std::string& pool, const std::string& object) const {
  if (object.empty() || object[0] == '.' || object.find('%') != std::string::npos) {
    throw ceph::Error("'" + object + "' cannot be an object's name");
  }
  std::string name = object;
  std::replace(name.begin(), name.end(), '/', '%');  // a file's name has no slash
  return folder_ / pool / name;
}

void ObjectStore::put(const std::string& pool, const std::string& object, std::string_view bytes) {
  const auto target = path(pool, object);
  const auto beside = target.parent_path() / ".new";
  std::filesystem::create_directories(target.parent_path());
  std::ofstream file(beside, std::ios::binary);
  file << head_of(bytes) << '\n' << bytes;
  file.close();
  if (!file) {
    throw ceph::Error("cannot write " + target.string());
  }
  std::filesystem::rename(beside, target);
}

std::optional<std::string> ObjectStore::get(const std::string& pool, const std::string& object) const {
  std::ifstream file(path(pool, object), std::ios::binary);
  std::string head;
  std::getline(file, head);
  std::string bytes = ceph::all_of(file);
  return head == head_of(bytes) ? std::optional(std::move(bytes)) : std::nullopt;
}

bool ObjectStore::remove(const std::string& pool, const std::string& object) {
  return std::filesystem::remove(path(pool, object));
}

std::vector<std::string> ObjectStore::list(const std::string& pool) const {
  std::vector<std::string> names;
  if (std::filesystem::is_directory(folder_ / pool)) {
    for (const auto& item : std::filesystem::directory_iterator(folder_ / pool)) {
      std::string name = item.path().filename();
      std::replace(name.begin(), name.end(), '%', '/');
      if (name[0] != '.') {
        names.push_back(name);
      }
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}
