// One source, one child process: footage is parsed only in there. The child is another program,
// `curate-media worker`, with the request on descriptor 0, the reply on 1 and the source on 3. It
// alone is linked to FFmpeg and the other libraries that parse what is delivered, which take longer
// to load than many a file to decode.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "ledger/base/file.h"

namespace cleared::curate {

class Request;
class Reply;

struct WorkerOptions {
  std::filesystem::path program = {};       // empty: media_program()
  std::filesystem::path c2pa_library = {};  // empty: files with C2PA manifests are refused
  std::filesystem::path cascades = "/usr/share/opencv4/lbpcascades";  // of curate/faces.h
};

inline constexpr const char* kMediaProgram = "curate-media";
// The one beside the program that runs. Error{io} when it is not there.
std::filesystem::path media_program();

inline constexpr int kRequestFd = 0, kReplyFd = 1, kSourceFd = 3;
// All that is in a file, from the start. Error{corrupt} where that is more than `most_bytes`.
std::string content_of(int fd, uint64_t most_bytes);
// What a worker may answer: a gigabyte where that grows with the footage.
uint64_t most_reply_bytes(const Request& request);

// Parent's side; any thread. Throws what went wrong in the child: Error{corrupt, unsupported or
// not_found} for the source, Error{corrupt} "crashed"/"hung" when the child died or passed its wall
// time; the caller names the file. The reply is hostile footage's word: its size is limited, and
// what it says of a failure is text that a terminal can show. Error{io} when the program cannot be
// started.
Reply run_worker(const Request& request, const Fd& source, const WorkerOptions& options);

// Child's side, the whole of it: returns the exit status.
int worker_main();

}  // namespace cleared::curate
