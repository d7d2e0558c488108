#include "rados/librados.hpp"

#include <set>
#include <sstream>

#include "cls/objclass.h"
#include "common/plugin.h"
#include "common/tool.h"
#include "common/version.h"
#include "os/ObjectStore.h"
#include "osd/OSDMap.h"

namespace librados {

IoCtx::IoCtx(std::filesystem::path data, std::shared_ptr<const OSDMap> map, std::string pool)
    : data_(std::move(data)), map_(std::move(map)), pool_(std::move(pool)) {}

std::vector<int> IoCtx::locate(const std::string& object) const { return map_->locate(pool_, object); }

void IoCtx::write_full(const std::string& object, std::string_view bytes) {
  for (const int osd : locate(object)) {
    ObjectStore(data_, osd).put(pool_, object, bytes);
  }
}

std::string IoCtx::read(const std::string& object) const {
  for (const int osd : locate(object)) {
    if (auto bytes = ObjectStore(data_, osd).get(pool_, object)) {
      return *bytes;
    }
  }
  throw ceph::Error("there is no object " + object + " in pool " + pool_ + ", or no copy is whole");
}

bool IoCtx::exists(const std::string& object) const {
  const auto names = list(object);
  return !names.empty() && names.front() == object;
}

void IoCtx::remove(const std::string& object) {
  bool removed = false;
  for (const int osd : locate(object)) {
    removed |= ObjectStore(data_, osd).remove(pool_, object);
  }
  if (!removed) {
    throw ceph::Error("there is no object " + object + " in pool " + pool_);
  }
}

std::vector<std::string> IoCtx::list(const std::string& prefix) const {
  std::set<std::string> names;
  for (const int osd : map_->osds) {
    for (const auto& name : ObjectStore(data_, osd).list(pool_)) {
      if (name.rfind(prefix, 0) == 0) {
        names.insert(name);
      }
    }
  }
  return {names.begin(), names.end()};
}

std::string IoCtx::exec(const std::string& object, const std::string& cls, const std::string& method,
                        const std::string& input) {
  const auto call = reinterpret_cast<ClassCall>(ceph::load_plugin("rados-classes", cls, "__cls_call"));
  const std::string before = exists(object) ? read(object) : "";
  std::string after = before;
  const std::string answer = call(method, after, input);
  if (after != before) {
    write_full(object, after);
  }
  return answer;
}

Rados::Rados(std::filesystem::path data)
    : data_(std::move(data)), map_(std::make_shared<OSDMap>(OSDMap::load(data_))) {}

std::vector<std::string> Rados::pools() const { return {map_->pools.begin(), map_->pools.end()}; }

void Rados::create_pool(const std::string& name) {
  if (name.empty() || name.find_first_of("/ \t\n") != std::string::npos) {
    throw ceph::Error("'" + name + "' cannot be a pool's name");
  }
  if (!map_->pools.insert(name).second) {
    throw ceph::Error("there is a pool " + name + " already");
  }
  map_->save(data_);
}

IoCtx Rados::open(const std::string& pool) const {
  if (map_->pools.count(pool) == 0) {
    throw ceph::Error("there is no pool " + pool);
  }
  return {data_, map_, pool};
}

std::string Rados::status() const {
  std::ostringstream json;
  json << "{\"version\": \"" << ceph_version_to_str() << "\", \"epoch\": " << map_->epoch
       << ", \"osds\": " << map_->osds.size() << ", \"pools\": " << map_->pools.size() << '}';
  return json.str();
}

}  // namespace librados
