#include "curate/c2pa.h"

#include <cstdint>

#include <dlfcn.h>
#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

// Neither the network, nor a trust list: who signed decides nothing here, for no mark allows
// anything. That what was signed is unchanged does matter, and is verified.
constexpr const char* kSettings = R"({
  "verify": {"verify_after_reading": true, "verify_trust": false, "ocsp_fetch": false,
             "remote_manifest_fetch": false}
})";

int descriptor(const void* context) {
  return *static_cast<const int*>(context);
}
intptr_t read_file_of(void* context, uint8_t* data, intptr_t size) {
  return ::read(descriptor(context), data, static_cast<size_t>(size));
}
intptr_t seek_file_of(void* context, intptr_t offset, int whence) {
  constexpr int kWhence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  return whence < 0 || whence > 2 ? -1 : ::lseek(descriptor(context), offset, kWhence[whence]);
}
intptr_t refuse_to_write(void*, const uint8_t*, intptr_t) {
  return -1;
}
intptr_t flush_nothing(void*) {
  return 0;
}

template <class Function>
void find(void* library, Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  if (function == nullptr) throw Error(Errc::unsupported, "the C2PA library has no ", name);
}

}  // namespace

struct C2pa::Functions {
  // Opaque to us.
  struct Settings;
  struct ContextBuilder;
  struct Context;
  struct Stream;
  struct Reader;
  using Read = intptr_t (*)(void* context, uint8_t* data, intptr_t size);
  using Seek = intptr_t (*)(void* context, intptr_t offset, int whence);
  using Write = intptr_t (*)(void* context, const uint8_t* data, intptr_t size);
  using Flush = intptr_t (*)(void* context);

  Settings* (*settings_new)();
  int (*settings_update)(Settings*, const char* text, const char* format);
  ContextBuilder* (*builder_new)();
  int (*builder_settings)(ContextBuilder*, Settings*);
  Context* (*builder_build)(ContextBuilder*);  // takes the builder
  Stream* (*stream)(void* context, Read, Seek, Write, Flush);
  Reader* (*reader)(Context*);
  Reader* (*with_stream)(Reader*, const char* format, Stream*);  // takes the reader, as the next
  Reader* (*with_store)(Reader*, const char* format, Stream*, const uint8_t* store, size_t size);
  char* (*json)(Reader*);
  char* (*error)();
};

C2pa::C2pa(const std::filesystem::path& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    throw Error(Errc::not_found, "no C2PA library: ", ::dlerror());
  }
  static Functions functions;
  find(handle, functions.settings_new, "c2pa_settings_new");
  find(handle, functions.settings_update, "c2pa_settings_update_from_string");
  find(handle, functions.builder_new, "c2pa_context_builder_new");
  find(handle, functions.builder_settings, "c2pa_context_builder_set_settings");
  find(handle, functions.builder_build, "c2pa_context_builder_build");
  find(handle, functions.stream, "c2pa_create_stream");
  find(handle, functions.reader, "c2pa_reader_from_context");
  find(handle, functions.with_stream, "c2pa_reader_with_stream");
  find(handle, functions.with_store, "c2pa_reader_with_manifest_data_and_stream");
  find(handle, functions.json, "c2pa_reader_json");
  find(handle, functions.error, "c2pa_error");
  functions_ = &functions;
}

// Nothing is given back: the process ends with the answer.
std::string C2pa::read(int file, const std::string& format, std::string_view store) const {
  const Functions& f = *functions_;
  const auto require = [&](bool ok) {
    if (ok) return;
    const char* why = f.error();
    throw Error(Errc::corrupt, why == nullptr || *why == '\0' ? "no reason given" : why);
  };
  Functions::Settings* settings = f.settings_new();
  require(settings != nullptr && f.settings_update(settings, kSettings, "json") == 0);
  Functions::ContextBuilder* builder = f.builder_new();
  require(builder != nullptr && f.builder_settings(builder, settings) == 0);
  Functions::Context* context = f.builder_build(builder);
  require(context != nullptr);
  require(::lseek(file, 0, SEEK_SET) == 0);
  Functions::Stream* stream =
      f.stream(&file, read_file_of, seek_file_of, refuse_to_write, flush_nothing);
  Functions::Reader* reader = f.reader(context);
  require(stream != nullptr && reader != nullptr);
  reader = store.empty()
               ? f.with_stream(reader, format.c_str(), stream)
               : f.with_store(reader, format.c_str(), stream,
                              reinterpret_cast<const uint8_t*>(store.data()), store.size());
  require(reader != nullptr);
  const char* json = f.json(reader);
  require(json != nullptr);
  return json;
}

}  // namespace cleared::curate
