// radosgw: answers a web server's request lines, a bucket being what its keys start with.

#include <iostream>

#include "common/tool.h"
#include "rados/librados.hpp"

static constexpr char kUsage[] =
    "GET /BUCKET/ | GET /BUCKET/KEY | PUT /BUCKET/KEY <FILE | DELETE /BUCKET/KEY   [--pool=rbd] [--data=FOLDER]";

static int gateway(const ceph::Arguments& given) {
  librados::IoCtx pool = librados::Rados(given.data()).open(given.option("pool", "rbd"));
  const auto &method = given.word(0), &path = given.word(1);
  const std::string object = "rgw" + path;
  if (method == "GET" && path.back() == '/') {
    for (const auto& key : pool.list(object)) {
      std::cout << key.substr(object.size()) << '\n';
    }
  } else if (method == "GET") {
    std::cout << pool.read(object);
  } else if (method == "PUT") {
    pool.write_full(object, ceph::all_of(std::cin));
  } else if (method == "DELETE") {
    pool.remove(object);
  } else {
    throw ceph::Error("no method " + method);
  }
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, gateway); }
