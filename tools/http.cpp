#include "tools/http.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>
#include <utility>

#include <httplib.h>
#include <pthread.h>
#include <sys/socket.h>
#include <zlib.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/log.h"

namespace cleared::tools {
namespace {

constexpr int kIdleSeconds = 2;
constexpr size_t kRequestsPerConnection = 1000;
constexpr size_t kServerThreads = 32;  // each waits on one connection

struct Url {
  std::string server;  // "http://host:port"
  std::string path;    // "/..." with the query
};

Url parse_url(const std::string& url) {
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  if (!is_http_url(url) || !plain || url.find_first_of("#@\\") != std::string::npos) {
    throw Error(Errc::usage, "URL \"", url, "\": must be http:// or https://, host and path");
  }
  const size_t host = url.find("://") + 3;
  const size_t path = std::min(url.find_first_of("/?", host), url.size());
  if (path == host) throw Error(Errc::usage, "URL \"", url, "\": names no host");
  const std::string rest = url.substr(path);
  return {url.substr(0, path), rest.starts_with('/') ? rest : "/" + rest};
}

// A peer that hangs up while we write must be an error and not the signal that ends the program.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (sigismember(&before_, SIGPIPE) == 0) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

// Ends an exchange that outlasts its time: the library's own limits are for one read each, which a
// peer that sends a byte now and then never meets.
class Deadline {
 public:
  Deadline(httplib::Client& client, int timeout_s)
      : at_(std::chrono::steady_clock::now() + std::chrono::seconds(timeout_s)),
        thread_([this, &client] {
          std::unique_lock lock(mutex_);
          while (!changed_.wait_until(lock, at_, [this] { return over_; })) {
            client.stop();  // again and again: before the connection stands it does nothing
            passed_ = true;
            at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
          }
        }) {}
  ~Deadline() { end(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  // True when the time was over before this call.
  bool end() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
    return passed_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::steady_clock::time_point at_;
  bool over_ = false, passed_ = false;
  std::thread thread_;
};

const char* in_words(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
      return "cannot connect";
    case httplib::Error::ConnectionTimeout:
      return "no connection in time";
    case httplib::Error::Read:
      return "the connection broke, or the answer is not whole HTTP";
    case httplib::Error::Write:
      return "the connection broke while sending";
    case httplib::Error::SSLConnection:
    case httplib::Error::SSLLoadingCerts:
      return "TLS failed";
    case httplib::Error::SSLServerVerification:
      return "the certificate is not one we trust for this host";
    default:
      return "the exchange failed";
  }
}

// What a body of `bytes` may have become by gzip, which makes some longer and names the file.
constexpr uint64_t most_packed(uint64_t bytes) {
  return bytes + bytes / 1000 + 1024;
}

// One gzip stream (RFC 1952) undone, if that gives at most `limit_bytes`: a few packed bytes could
// stand for gigabytes.
std::string unpacked(const std::string& url, std::string packed, uint64_t limit_bytes) {
  z_stream stream{};
  CLEARED_CHECK(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  std::string out(limit_bytes + 1, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  if (out.size() > limit_bytes) {
    throw Error(Errc::io, url, ": the answer is longer than ", limit_bytes, " bytes");
  }
  if (result != Z_STREAM_END || stream.avail_in != 0) {
    throw Error(Errc::io, url, ": the answer says that it is gzip, and is not whole gzip");
  }
  return out;
}

// How the body of an answer is encoded, in small letters; "identity": it is not. We ask for that,
// but a host that keeps its files packed sends them so, and C2SP tlog-tiles lets it for entry
// bundles. Bodies of other answers than 200 nobody unpacks.
std::string encoding_of(const httplib::Response& response) {
  const size_t lines = response.get_header_value_count("Content-Encoding");
  if (response.status != 200 || lines == 0) return "identity";
  std::string out;
  for (size_t i = 0; i < lines; ++i) {
    out += (i == 0 ? "" : ", ") + response.get_header_value("Content-Encoding", i);
  }
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

HttpAnswer exchange(const std::string& url, httplib::Request request, const HttpLimits& limits) {
  const WithoutSigpipe guard;
  const Url where = parse_url(url);
  httplib::Client client(where.server);
  if (!client.is_valid()) throw Error(Errc::usage, "URL \"", url, "\": malformed");
  client.set_connection_timeout(limits.timeout_s);
  // The library's limits for one read or write each; Deadline is there for the whole, and first.
  client.set_read_timeout(limits.timeout_s + 1);
  client.set_write_timeout(limits.timeout_s + 1);
  client.set_follow_location(false);
  client.set_decompress(false);  // or a few bytes could stand for gigabytes
  HttpAnswer answer;
  uint64_t most = limits.body_bytes;
  bool too_long = false;
  request.path = where.path;
  request.set_header("Accept-Encoding", "identity");
  request.set_header("Connection", "close");
  request.set_header("User-Agent", "cleared");
  request.response_handler = [&](const httplib::Response& response) {
    if (encoding_of(response) == "gzip") most = most_packed(limits.body_bytes);
    return true;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    too_long = answer.body.size() + size > most;
    if (!too_long) answer.body.append(data, size);
    return !too_long;
  };
  Deadline deadline(client, limits.timeout_s);
  const httplib::Result result = client.send(request);
  if (too_long) {
    throw Error(Errc::io, url, ": the answer is longer than ", limits.body_bytes, " bytes");
  }
  if (deadline.end()) throw Error(Errc::io, url, ": no answer within ", limits.timeout_s, " s");
  if (!result) throw Error(Errc::io, url, ": ", in_words(result.error()));
  answer.status = result->status;
  answer.content_type = result->get_header_value("Content-Type");
  const std::string encoding = encoding_of(*result);
  if (encoding == "gzip") {
    answer.body = unpacked(url, std::move(answer.body), limits.body_bytes);
  } else if (encoding != "identity") {
    throw Error(Errc::io, url, ": the answer is encoded as ", encoding,
                "; only gzip or no encoding is read");
  }
  return answer;
}

// The body of a POST, or the status that says why not. The library counts no chunked body, and its
// time limit is for one read.
int read_body(const httplib::Request& request, const httplib::ContentReader& reader,
              const HttpLimits& limits, std::string& body) {
  if (request.is_multipart_form_data()) return 400;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(limits.timeout_s);
  int status = 200;
  const bool all = reader([&](const char* data, size_t size) {
    if (body.size() + size > limits.body_bytes) status = 413;
    if (std::chrono::steady_clock::now() > end) status = 408;
    if (status == 200) body.append(data, size);
    return status == 200;
  });
  return all || status != 200 ? status : 400;
}

void reply(const HttpHandler& handler, const HttpRequest& request, httplib::Response& response) {
  HttpAnswer answer;
  try {
    answer = handler(request);
  } catch (const std::exception& error) {
    log(Level::error, "http.failed", {{"path", request.path}, {"error", error.what()}});
    answer = {500, "text/plain", "internal error\n"};
  }
  response.status = answer.status;
  if (!answer.body.empty()) response.set_content(answer.body, answer.content_type);
}

}  // namespace

bool is_http_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

HttpAnswer http_get(const std::string& url, const HttpLimits& limits) {
  httplib::Request request;
  request.method = "GET";
  return exchange(url, std::move(request), limits);
}

HttpAnswer http_post(const std::string& url, const std::string& body,
                     const std::string& content_type, const HttpLimits& limits) {
  httplib::Request request;
  request.method = "POST";
  request.body = body;
  request.set_header("Content-Type", content_type);
  return exchange(url, std::move(request), limits);
}

struct HttpServer::Impl {
  httplib::Server server;
  HttpHandler handler;
  HttpLimits limits;
  int port = 0;
  std::thread thread;

  // Which methods make sense is for the handler to say.
  void route() {
    const auto bare = [this](const httplib::Request& request, httplib::Response& response) {
      reply(handler, {request.method, request.path, ""}, response);
    };
    const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& reader) {
      HttpRequest ours = {request.method, request.path, ""};
      const int status = read_body(request, reader, limits, ours.body);
      // A length above the limit is noticed by the library, with a status of its own.
      if (status != 200) response.status = std::max(status, response.status);
      if (status == 200) reply(handler, ours, response);
    };
    server.Get(".*", bare).Options(".*", bare);
    server.Post(".*", with_body).Put(".*", with_body).Patch(".*", with_body);
    server.Delete(".*", with_body);
  }

  void configure() {
    server.set_payload_max_length(limits.body_bytes);
    server.set_read_timeout(limits.timeout_s);
    server.set_write_timeout(limits.timeout_s);
    server.set_keep_alive_timeout(kIdleSeconds);
    server.set_keep_alive_max_count(kRequestsPerConnection);
    server.set_tcp_nodelay(true);
    server.new_task_queue = [] { return new httplib::ThreadPool(kServerThreads); };
    // Not the library's SO_REUSEPORT, by which two servers would share a port without a word.
    server.set_socket_options([](int socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
  }
};

HttpServer::HttpServer(const std::string& address, int port, HttpHandler handler,
                       const HttpLimits& limits)
    : impl_(std::make_unique<Impl>()) {
  impl_->handler = std::move(handler);
  impl_->limits = limits;
  impl_->route();
  impl_->configure();
  const bool bound = port == 0 ? (impl_->port = impl_->server.bind_to_any_port(address)) > 0
                               : impl_->server.bind_to_port(address, port);
  if (!bound) {
    throw Error(Errc::io, "listen on ", address, ":", port,
                ": the address is not ours, or the port is in use");
  }
  if (port != 0) impl_->port = port;
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  while (!impl_->server.is_running()) std::this_thread::yield();
}

HttpServer::~HttpServer() {
  impl_->server.stop();
  impl_->thread.join();
}

int HttpServer::port() const {
  return impl_->port;
}

}  // namespace cleared::tools
