#pragma once

#include <filesystem>
#include <iosfwd>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace ceph {

/// A failure that is told to the user in one line.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A tool's command line: words, and options written --name or --name=value.
struct Arguments {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;

  bool has(const std::string& name) const { return options.count(name) != 0; }
  std::string option(const std::string& name, const std::string& otherwise) const;

  /// A word that must be there; throws Error where it is not.
  const std::string& word(std::size_t place) const;

  /// The folder of the cluster: --data, $CEPH_DATA or /var/lib/ceph.
  std::filesystem::path data() const;
};

/// The number that a text is; throws Error for any other text.
std::size_t number(const std::string& text);

/// Everything that a stream still has.
std::string all_of(std::istream& stream);

/// A tool's main(): answers --version and --help, and tells an Error in one line.
int run(int argc, char** argv, const char* usage, int (*tool)(const Arguments&));

}  // namespace ceph
