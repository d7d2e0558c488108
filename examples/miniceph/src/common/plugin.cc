#include "common/plugin.h"

#include <dlfcn.h>

#include <cstdlib>

#include "common/tool.h"
#include "common/version.h"

namespace ceph {

void* load_plugin(const std::string& kind, const std::string& name, const char* entry) {
  // CEPH_LIB names the flat build/lib of a tree that is not installed, as in Ceph.
  const char* built = std::getenv("CEPH_LIB");
  const std::string folder = built ? built : CEPH_PKGLIBDIR "/" + kind;
  const std::string path = folder + (kind == "erasure-code" ? "/libec_" : "/libcls_") + name + ".so";
  void* plugin = dlopen(path.c_str(), RTLD_NOW);  // never closed: its functions stay in use
  if (plugin == nullptr) {
    throw Error(dlerror());
  }
  const auto version = reinterpret_cast<const char* (*)()>(dlsym(plugin, "__ceph_plugin_version"));
  if (version == nullptr || std::string(version()) != ceph_version_to_str()) {
    throw Error(path + " is not of version " + ceph_version_to_str());
  }
  void* found = dlsym(plugin, entry);
  if (found == nullptr) {
    throw Error(dlerror());
  }
  return found;
}

}  // namespace ceph
