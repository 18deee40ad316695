// HTTP/1.1 as the tools need it: fetch, post, and a small server. Thin over cpp-httplib 0.11; this
// and http.cpp are the only files that know it. https works for the client, with the system's
// certificates (SSL_CERT_FILE names others); the server speaks plain HTTP, for a reverse proxy.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace cleared::tools {

struct HttpLimits {
  uint64_t body_bytes = 1 << 20;  // the longest body that is taken in, in either direction
  int timeout_s = 10;             // of a whole exchange for the client; for the server, of a body
};

struct HttpAnswer {
  int status = 200;  // 100 to 599
  std::string content_type;
  std::string body;
};

// One exchange over one connection. Whatever status comes back is an answer, redirects (which are
// not followed) included. The body of a 200 is as it was before a Content-Encoding of gzip. No
// connection, no answer in time, a longer body, another encoding, a certificate that does not hold:
// Error{io} naming the URL. A URL that is not http:// or https:// is Error{usage}. Any thread.
// Looking up a host's name is the system's and may outlast the limit.
HttpAnswer http_get(const std::string& url, const HttpLimits& limits = {});
HttpAnswer http_post(const std::string& url, const std::string& body,
                     const std::string& content_type, const HttpLimits& limits = {});

// As a browser would: true for "http://..." and "https://...".
bool is_http_url(const std::string& text);

struct HttpRequest {
  std::string method;  // GET, which HEAD is too, POST, PUT, PATCH, DELETE, OPTIONS: others get 400
  std::string path;    // as sent, without the query: starts with '/'
  std::string body;
};

// Called from several threads at once. An Error that escapes is logged and answered with 500.
using HttpHandler = std::function<HttpAnswer(const HttpRequest&)>;

// Listens from construction to destruction on threads of its own. Destruction closes the port,
// lets every request in progress finish (an idle connection is kept for at most 2 s), and returns.
class HttpServer {
 public:
  // `address` is a name or a number; port 0 picks a free one. Error{io} when it cannot be had: it
  // is never shared with a second server. A body above the limit is answered with 413.
  HttpServer(const std::string& address, int port, HttpHandler handler,
             const HttpLimits& limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  int port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleared::tools
