#include "osd/OSDMap.h"

#include <fstream>

#include "common/tool.h"
#include "crush/crush.h"

OSDMap OSDMap::load(const std::filesystem::path& data) {
  std::ifstream file(data / "osdmap");
  if (!file) {
    throw ceph::Error("there is no cluster in " + data.string() + "; ceph-mon --mkfs makes one");
  }
  OSDMap map;
  for (std::string key, value; file >> key >> value;) {
    if (key == "epoch") {
      map.epoch = static_cast<unsigned>(ceph::number(value));
    } else if (key == "osd") {
      map.osds.push_back(static_cast<int>(ceph::number(value)));
    } else if (key == "pool") {
      map.pools.insert(value);
    } else {
      throw ceph::Error("the cluster's map is damaged at '" + key + "'");
    }
  }
  return map;
}

void OSDMap::save(const std::filesystem::path& data) {
  std::ofstream file(data / "osdmap.new");
  file << "epoch " << ++epoch << '\n';
  for (const int osd : osds) {
    file << "osd " << osd << '\n';
  }
  for (const auto& pool : pools) {
    file << "pool " << pool << '\n';
  }
  file.close();
  if (!file) {
    throw ceph::Error("cannot write into " + data.string());
  }
  std::filesystem::rename(data / "osdmap.new", data / "osdmap");
}

std::vector<int> OSDMap::locate(const std::string& pool, const std::string& object) const {
  return crush::place(crush::group_of(pool, object), osds, 2);
}
