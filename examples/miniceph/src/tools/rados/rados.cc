// rados: the objects of a cluster.

#include <fstream>
#include <iostream>

#include "common/tool.h"
#include "rados/librados.hpp"
#ifdef WITH_LIBRADOSSTRIPER
#include "rados/libradosstriper.hpp"
#endif

static constexpr char kUsage[] =
    "lspools | mkpool NAME | ls | put OBJECT FILE | get OBJECT FILE | rm OBJECT | map OBJECT\n"
    "  | exec OBJECT CLASS METHOD INPUT   [--pool=rbd] [--data=FOLDER]\n"
    "  --striper: put, get, size, truncate OBJECT SIZE   [--unit=65536] [--count=4]";

static std::string load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw ceph::Error("cannot read " + path);
  }
  return ceph::all_of(file);
}

static void save(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) {
    throw ceph::Error("cannot write " + path);
  }
}

static int print(const std::vector<std::string>& lines) {
  for (const auto& line : lines) {
    std::cout << line << '\n';
  }
  return 0;
}

#ifdef WITH_LIBRADOSSTRIPER
static int striped(const ceph::Arguments& given, const librados::IoCtx& pool) {
  libradosstriper::RadosStriper striper(pool, ceph::number(given.option("unit", "65536")),
                                        ceph::number(given.option("count", "4")));
  const auto &command = given.word(0), &object = given.word(1);
  if (command == "size") {
    std::cout << striper.size(object) << '\n';
  } else if (command == "put") {
    striper.write(object, load(given.word(2)));
  } else if (command == "get") {
    save(given.word(2), striper.read(object));
#if CEPH_RELEASE >= 2
  } else if (command == "truncate") {
    striper.truncate(object, ceph::number(given.word(2)));
#endif
  } else {
    throw ceph::Error("no command " + command + " for striped files");
  }
  return 0;
}
#endif

static int rados(const ceph::Arguments& given) {
  librados::Rados cluster(given.data());
  const auto& command = given.word(0);
  if (command == "lspools") {
    return print(cluster.pools());
  }
  if (command == "mkpool") {
    cluster.create_pool(given.word(1));
    return 0;
  }
  librados::IoCtx pool = cluster.open(given.option("pool", "rbd"));
#ifdef WITH_LIBRADOSSTRIPER
  if (given.has("striper")) {
    return striped(given, pool);
  }
#endif
  if (command == "ls") {
    return print(pool.list());
  }
  if (command == "rm") {
    pool.remove(given.word(1));
  } else if (command == "map") {
    for (const int osd : pool.locate(given.word(1))) {
      std::cout << "osd." << osd << '\n';
    }
  } else if (command == "put") {
    pool.write_full(given.word(1), load(given.word(2)));
  } else if (command == "get") {
    save(given.word(2), pool.read(given.word(1)));
  } else if (command == "exec") {
    std::cout << pool.exec(given.word(1), given.word(2), given.word(3), given.word(4)) << '\n';
  } else {
    throw ceph::Error("no command " + command);
  }
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, rados); }
