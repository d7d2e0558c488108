#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct OSDMap;

namespace librados {

/// The objects of one pool. Every call throws ceph::Error for what cannot be done.
class IoCtx {
 public:
  void write_full(const std::string& object, std::string_view bytes);
  std::string read(const std::string& object) const;
  bool exists(const std::string& object) const;
  void remove(const std::string& object);
  std::vector<std::string> list(const std::string& prefix = "") const;

  /// The devices that hold an object, the primary first.
  std::vector<int> locate(const std::string& object) const;

  /// Run a method of a rados class on an object.
  std::string exec(const std::string& object, const std::string& cls, const std::string& method,
                   const std::string& input);

 private:
  friend class Rados;
  IoCtx(std::filesystem::path data, std::shared_ptr<const OSDMap> map, std::string pool);

  std::filesystem::path data_;
  std::shared_ptr<const OSDMap> map_;
  std::string pool_;
};

/// A cluster: the folder where its monitor and its devices keep what they have.
class Rados {
 public:
  explicit Rados(std::filesystem::path data);

  std::vector<std::string> pools() const;
  void create_pool(const std::string& name);
  IoCtx open(const std::string& pool) const;

  /// What the monitor knows, as a JSON document.
  std::string status() const;

 private:
  std::filesystem::path data_;
  std::shared_ptr<OSDMap> map_;
};

}  // namespace librados
