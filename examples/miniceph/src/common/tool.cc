#include "common/tool.h"

#include <cstdlib>
#include <iostream>
#include <iterator>

#include "common/version.h"

namespace ceph {

static Arguments parse(int argc, char** argv) {
  Arguments given;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    if (text.rfind("--", 0) != 0) {
      given.words.push_back(text);
      continue;
    }
    const auto equals = text.find('=');
    const bool valued = equals != std::string::npos;
    given.options[text.substr(2, valued ? equals - 2 : equals)] = valued ? text.substr(equals + 1) : "";
  }
  return given;
}

std::string Arguments::option(const std::string& name, const std::string& otherwise) const {
  const auto found = options.find(name);
  return found == options.end() || found->second.empty() ? otherwise : found->second;
}

const std::string& Arguments::word(std::size_t place) const {
  if (place >= words.size()) {
    throw Error("too few arguments; --help tells which");
  }
  return words[place];
}

std::filesystem::path Arguments::data() const {
  const char* environment = std::getenv("CEPH_DATA");
  return option("data", environment ? environment : "/var/lib/ceph");
}

std::size_t number(const std::string& text) {
  if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw Error("'" + text + "' is not a number");
  }
  return std::stoull(text);
}

std::string all_of(std::istream& stream) { return {std::istreambuf_iterator<char>(stream), {}}; }

int run(int argc, char** argv, const char* usage, int (*tool)(const Arguments&)) {
  const std::string name = std::filesystem::path(argv[0]).filename();
  const Arguments given = parse(argc, argv);
  if (given.has("version")) {
    std::cout << pretty_version_to_str() << '\n';
    return 0;
  }
  if (given.has("help")) {
    std::cout << "usage: " << name << ' ' << usage << '\n';
    return 0;
  }
  try {
    return tool(given);
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace ceph
