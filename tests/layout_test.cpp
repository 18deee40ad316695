// Rules that hold the shape of the project, checked like any other behaviour: which module may
// include which, where each big library may be seen, who may print, and that the documents name
// files and functions that exist. Reads tracked files (git ls-files) and those not yet committed.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = fs::path(__FILE__).parent_path().parent_path();

std::string read(const fs::path& path) {
  std::ifstream in(kRoot / path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

// Every file of the project, as a path from its root. Ignored files (build/, try/) are not of it.
const std::vector<std::string>& files() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> found;
    const std::string command = "git -c core.quotePath=false -C '" + kRoot.string() +
                                "' ls-files --cached --others --exclude-standard";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::array<char, 4096> line{};
    while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
      std::string name = line.data();
      name.erase(name.find_last_not_of('\n') + 1);
      if (fs::is_regular_file(kRoot / name)) found.push_back(name);
    }
    return found;
  }();
  return all;
}

bool is_code(const std::string& name) {
  const std::string extension = fs::path(name).extension();
  return extension == ".h" || extension == ".cpp" || extension == ".cu";
}

std::string top_folder(const std::string& name) {
  const size_t slash = name.find('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

struct Include {
  std::string file;    // that includes
  std::string target;  // between the quotes or brackets
  bool quoted = false;
};

std::vector<Include> includes() {
  static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  for (const auto& file : files()) {
    if (!is_code(file)) continue;
    std::istringstream in(read(file));
    std::smatch match;
    for (std::string line; std::getline(in, line);) {
      if (std::regex_search(line, match, pattern))
        found.push_back({file, match[2], match[1] == "\""});
    }
  }
  return found;
}

TEST(Layout, TheProjectIsReadFromGit) {
  ASSERT_GT(files().size(), 50U) << "git ls-files in " << kRoot << " found nothing to check";
  ASSERT_GT(includes().size(), 100U);
}

TEST(Layout, ArrowsBetweenModulesGoOneWay) {
  const std::map<std::string, std::set<std::string>> may_include = {
      {"kernels", {"kernels"}},
      {"ledger", {"ledger"}},
      {"curate", {"curate", "kernels", "ledger"}},
      {"train", {"train", "kernels", "ledger"}},
      {"tools", {"tools", "curate", "train", "kernels", "ledger"}},
      {"tests", {"tests", "tools", "curate", "train", "kernels", "ledger"}},
  };
  for (const auto& [file, target, quoted] : includes()) {
    if (!quoted) continue;
    const auto module = may_include.find(top_folder(file));
    ASSERT_NE(module, may_include.end()) << file << " is code outside the modules";
    EXPECT_TRUE(module->second.contains(top_folder(target)))
        << file << " includes \"" << target << "\"; " << module->first
        << " may not, or the path does not start at the root";
    EXPECT_TRUE(target.ends_with(".pb.h") || fs::exists(kRoot / target))
        << file << " includes \"" << target << "\", which is not in the tree";
  }
}

TEST(Layout, LedgerBaseUsesTheStandardLibraryOnly) {
  for (const auto& [file, target, quoted] : includes()) {
    if (!file.starts_with("ledger/base/")) continue;
    EXPECT_TRUE(quoted ? target.starts_with("ledger/base/") : target.find(".hpp") == target.npos)
        << file << " includes " << target;
  }
}

TEST(Layout, TrainDataDoesNotSeeLibTorch) {
  for (const auto& [file, target, quoted] : includes()) {
    if (!file.starts_with("train/data/")) continue;
    EXPECT_FALSE(target.starts_with("train/model/") && target.find("tensor") != target.npos)
        << file << " includes " << target;
  }
}

// A library is included where its owner types are, and nowhere else.
TEST(Layout, LibrariesAreSeenOnlyByTheirModule) {
  struct Rule {
    const char* library;
    const char* include;  // pattern of what is between < and >
    const char* where;    // pattern of the files that may
  };
  const std::vector<Rule> rules = {
      {"LibTorch", R"(^(torch|c10|c10d|ATen|gloo)/)", R"(^(tests/)?train/(?!data/))"},
      {"FFmpeg", R"(^lib(av|sw)[a-z]*/)", R"(^curate/av\.(h|cpp)$)"},
      {"OpenCV", R"(^opencv2/)", R"(^(tests/)?curate/)"},
      {"Highway", R"(^hwy/)", R"(^kernels/)"},
      {"Chromaprint", R"(^chromaprint\.h)", R"(^curate/)"},
      {"libseccomp", R"(^seccomp\.h)", R"(^curate/)"},
      {"SQLite", R"(^sqlite3\.h)", R"(^ledger/sqlite\.(h|cpp)$)"},
      {"OpenSSL", R"(^openssl/)", R"(^(tests/)?ledger/)"},
      {"CLI11", R"(^CLI/)", R"(^tools/)"},
      {"cpp-httplib", R"(^httplib\.h)", R"(^tools/http\.cpp$)"},
      {"CUDA", R"(^(cuda|nccl))", R"(^(tests/)?kernels/.*cu|^train/model/|^tests/train/gpu_)"},
  };
  for (const auto& [file, target, quoted] : includes()) {
    for (const auto& rule : rules) {
      if (quoted || !std::regex_search(target, std::regex(rule.include))) continue;
      EXPECT_TRUE(std::regex_search(file, std::regex(rule.where)))
          << file << " includes <" << target << ">: " << rule.library
          << " belongs to files matching " << rule.where;
    }
  }
}

// Headers that cost seconds wherever they go stay out of our own headers.
TEST(Layout, HeavyHeadersStayOutOfHeaders) {
  const std::regex heavy(R"(^(torch/torch\.h|nlohmann/json\.hpp|CLI/|google/protobuf/))");
  for (const auto& [file, target, quoted] : includes()) {
    if (!file.ends_with(".h") || quoted) continue;
    EXPECT_FALSE(std::regex_search(target, heavy)) << file << " includes <" << target << ">";
  }
}

// Code without comments and string literals, so that neither counts as a use.
std::string bare_code(const std::string& text) {
  std::string bare;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) {
      i = text.find('\n', i);
    } else if (text.compare(i, 2, "/*") == 0) {
      i = text.find("*/", i);
    } else if (text[i] == '"' && (i == 0 || text[i - 1] != '\'')) {
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i) i += text[i] == '\\';
    }
    if (i >= text.size()) break;
    bare += text[i];
  }
  return bare;
}

// The identifiers of every file of code that is not a test, read once.
const std::map<std::string, std::set<std::string>>& identifiers() {
  static const std::map<std::string, std::set<std::string>> all = [] {
    std::map<std::string, std::set<std::string>> found;
    for (const auto& file : files()) {
      if (!is_code(file) || file.starts_with("tests/")) continue;
      std::string word;
      for (const char c : bare_code(read(file)) + ' ') {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
          word += c;
        } else if (!word.empty()) {
          found[file].insert(std::exchange(word, {}));
        }
      }
    }
    return found;
  }();
  return all;
}

TEST(Layout, OnlyToolsPrintReadArgumentsAndExit) {
  const std::regex speaks(
      R"(\bstd::cout\b|\bstd::cerr\b|(^|[^nf\w])printf\s*\(|\bputs\s*\(|\bint\s+main\s*\(|\bstd::exit\s*\(|[^\w.:>]exit\s*\()");
  for (const auto& file : files()) {
    const std::string module = top_folder(file);
    if (!is_code(file) ||
        (module != "kernels" && module != "ledger" && module != "curate" && module != "train"))
      continue;
    if (file.find("_fuzz.") != file.npos || file.find("_bench.") != file.npos) continue;
    const std::string code = bare_code(read(file));
    std::smatch match;
    EXPECT_FALSE(std::regex_search(code, match, speaks))
        << file << " says \"" << match.str() << "\": modules never print, tools/ does";
  }
}

// The gate of another day computes and keeps nothing; what learns asks the gate of now.
TEST(Layout, OnlyReplayAsksTheGateOfAnotherDay) {
  for (const std::string& name : files()) {
    if (!is_code(name) || name.starts_with("tests/") || name.starts_with("ledger/gate.") ||
        name == "train/replay.cpp") {
      continue;
    }
    EXPECT_EQ(read(name).find("Gate::as_of"), std::string::npos) << name;
  }
}

TEST(Layout, TopLevelIsFixed) {
  const std::set<std::string> folders = {".ci",    "configs", "curate", "docs", "kernels",
                                         "ledger", "tests",   "tools",  "train"};
  const std::set<std::string> names = {
      ".clang-format",     ".clang-tidy", ".gitignore", "CMakeLists.txt",
      "CMakePresets.json", "LICENSE",     "README.md",  "try.sh"};
  for (const auto& file : files()) {
    const std::string folder = top_folder(file);
    EXPECT_TRUE(folder.empty() ? names.contains(file) : folders.contains(folder))
        << file << ": a new top-level name is a decision; add it here and to docs/design/";
  }
}

// What lies outside the tree, or on one machine only, must not be named in it.
TEST(Layout, NothingPointsOutsideTheTree) {
  // Built from parts, or this file would find itself.
  const std::regex outside(std::string(R"((^|[^\w.~])/(work|root|home)/[\w.])") + R"(|\.\./)" +
                           "shared");
  for (const auto& file : files()) {
    if (file.starts_with("tests/corpus/")) continue;
    std::istringstream in(read(file));
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      EXPECT_FALSE(std::regex_search(line, outside)) << file << ":" << number << ": " << line;
    }
  }
}

TEST(Layout, EveryTestedModuleHasItsTestsInTheSameTree) {
  for (const auto& file : files()) {
    if (!file.starts_with("tests/") || !file.ends_with("_test.cpp")) continue;
    const std::string folder = fs::path(file).parent_path();
    if (folder == "tests" || folder.starts_with("tests/tools")) continue;
    EXPECT_TRUE(fs::is_directory(kRoot / folder.substr(6))) << file << " mirrors no folder";
  }
}

std::set<std::string> in_backticks(const std::string& page) {
  static const std::regex code(R"re(`([^`\n]+)`)re");
  const std::string text = read(page);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), code), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

bool names_a_file(const std::string& words) {
  static const std::regex path(
      R"(^[\w.-]+(/[\w.-]+)+\.(h|cpp|cu|proto|textproto|sh|go|md|tsv|txt|cmake)$)");
  return std::regex_match(words, path);
}

// `ledger::Store::append`, `judge()`: the last name must be declared or defined in our code, and
// with a class before it, in a file that has both.
bool names_a_function(const std::string& words) {
  static const std::regex function(R"(^(\w+::)*~?\w+\(\)$|^(\w+::)+\w+$)");
  return std::regex_match(words, function);
}

bool is_declared(const std::string& words) {
  std::vector<std::string> names;
  static const std::regex name(R"(\w+)");
  for (std::sregex_iterator it(words.begin(), words.end(), name), end; it != end; ++it) {
    names.push_back(it->str());
  }
  // Namespaces follow folders; a class has a capital.
  const bool in_class = names.size() > 1 && std::isupper(names[names.size() - 2][0]) != 0;
  const std::string& owner = in_class ? names[names.size() - 2] : names.back();
  return std::any_of(identifiers().begin(), identifiers().end(), [&](const auto& file) {
    return file.second.contains(names.back()) && file.second.contains(owner);
  });
}

TEST(Docs, TheTourNamesRealFilesAndFunctions) {
  size_t checked = 0;
  for (const auto& words : in_backticks("docs/tour.md")) {
    if (names_a_file(words)) {
      EXPECT_TRUE(fs::exists(kRoot / words)) << "docs/tour.md names " << words;
    } else if (names_a_function(words)) {
      EXPECT_TRUE(is_declared(words)) << "docs/tour.md names " << words;
    } else {
      continue;
    }
    ++checked;
  }
  EXPECT_GE(checked, 30U) << "the tour should name what it shows";
}

TEST(Docs, EveryPathInADocumentExists) {
  for (const auto& page : files()) {
    if (!page.ends_with(".md") || page == "docs/changelog.md") continue;
    for (const auto& words : in_backticks(page)) {
      const std::string module = top_folder(words);
      if (!names_a_file(words) || !fs::is_directory(kRoot / module)) continue;
      EXPECT_TRUE(fs::exists(kRoot / words)) << page << " names " << words;
    }
  }
}

TEST(Docs, EveryLinkLeadsSomewhere) {
  static const std::regex link(R"re(\]\(([^)#\s]+)(#[^)]*)?\))re");
  for (const auto& page : files()) {
    if (!page.ends_with(".md")) continue;
    const std::string text = read(page);
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      const std::string target = (*it)[1];
      if (target.find("://") != target.npos) continue;
      EXPECT_TRUE(fs::exists(kRoot / fs::path(page).parent_path() / target))
          << page << " links to " << target;
    }
  }
}

// docs/formats/README.md lists every page beside it, and every page is listed.
TEST(Docs, EveryFormatIsInTheIndex) {
  const std::string index = read("docs/formats/README.md");
  size_t pages = 0;
  for (const auto& file : files()) {
    if (!file.starts_with("docs/formats/") || file == "docs/formats/README.md") continue;
    EXPECT_NE(index.find("](" + fs::path(file).filename().string() + ")"), index.npos)
        << file << " is not in docs/formats/README.md";
    ++pages;
  }
  EXPECT_GE(pages, 5U);
}

TEST(Docs, EveryDecisionStatesItsAlternative) {
  for (const auto& file : files()) {
    if (!file.starts_with("docs/design/")) continue;
    const std::string text = read(file);
    for (const char* heading :
         {"## Question", "## Options", "## Choice", "## What would change it"}) {
      EXPECT_NE(text.find(heading), text.npos) << file << " has no " << heading;
    }
  }
}

TEST(Docs, TheReadmeFitsOnAScreen) {
  const std::string text = read("README.md");
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 50);
}

// What `pattern`'s group finds in the part of `file` from `from` to the next `to`.
std::set<std::string> listed(const fs::path& file, const std::string& from, const std::string& to,
                             const std::regex& pattern) {
  std::string text = read(file);
  const size_t start = text.find(from);
  if (start == text.npos) return {};
  text = text.substr(start, text.find(to, start) - start);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

TEST(Docs, EveryExitCodeIsExplained) {
  const auto codes = listed("tools/cli.h", "enum Exit {", "};", std::regex(R"(= (\d+),)"));
  ASSERT_GT(codes.size(), 8U);
  const std::string page = read("docs/exit-codes.md");
  for (const auto& code : codes) {
    EXPECT_NE(page.find("| " + code + " |"), page.npos) << "docs/exit-codes.md lacks " << code;
  }
}

// Words that docs/glossary.md forbids and that can mean nothing else.
TEST(Docs, ForbiddenWordsStayOutOfOurNames) {
  const std::regex forbidden("(^|_)(blacklist|snapshot|asset)(_|$)", std::regex::icase);
  for (const auto& [file, words] : identifiers()) {
    for (const auto& word : words) {
      EXPECT_FALSE(std::regex_search(word, forbidden)) << file << " says " << word;
    }
  }
}

}  // namespace
