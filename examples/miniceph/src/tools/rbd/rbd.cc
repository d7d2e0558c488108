// rbd: block devices in a pool.

#include <iostream>

#include "common/tool.h"
#include "rbd/librbd.hpp"

static constexpr char kUsage[] =
    "ls | info IMAGE | import IMAGE <FILE | export IMAGE >FILE   [--pool=rbd] [--data=FOLDER]";

static int rbd(const ceph::Arguments& given) {
  const librados::IoCtx pool = librados::Rados(given.data()).open(given.option("pool", "rbd"));
  const auto& command = given.word(0);
  if (command == "ls") {
    for (const auto& name : librbd::Image::list(pool)) {
      std::cout << name << '\n';
    }
  } else if (command == "info") {
    std::cout << given.word(1) << ": " << librbd::Image(pool, given.word(1)).size() << " bytes\n";
  } else if (command == "import") {
    librbd::Image::create(pool, given.word(1), ceph::all_of(std::cin));
  } else if (command == "export") {
    std::cout << librbd::Image(pool, given.word(1)).read();
  } else {
    throw ceph::Error("no command " + command);
  }
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, rbd); }
