// tools/http.h against itself, and against peers written with plain sockets: what a careless or
// hostile other side sends. tests/tools/witness_test.py checks the wire with Python's HTTP.
#include "tools/http.h"

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"

namespace cleared::tools {
namespace {

std::string local(int port, const std::string& path = "/") {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

HttpAnswer echo(const HttpRequest& request) {
  if (request.path == "/throw") throw Error(Errc::io, "no");
  if (request.path == "/empty") return {404, "", ""};
  return {200, "text/x.echo", request.method + " " + request.path + " " + request.body};
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

std::string read_to_end(int fd) {
  std::string all;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) {
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

// Sends `request` byte for byte and returns how the answer starts.
std::string raw_exchange(int port, const std::string& request) {
  const Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return "no connection";
  }
  write_all(fd.get(), request, "request");
  std::string start(12, '\0');  // "HTTP/1.1 200"
  const ssize_t got = ::recv(fd.get(), start.data(), start.size(), MSG_WAITALL);
  start.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return start;
}

// Takes one connection, reads what there is of a request, and lets `answer` write to it.
class RawServer {
 public:
  explicit RawServer(std::function<void(int)> answer) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::listen(fd_.get(), 1), 0);
    port = ntohs(address.sin_port);
    thread_ = std::jthread([this, answer = std::move(answer)] {
      const Fd peer(::accept(fd_.get(), nullptr, nullptr));
      char buffer[4096];
      if (::read(peer.get(), buffer, sizeof buffer) > 0) answer(peer.get());
    });
  }
  int port = 0;

 private:
  Fd fd_;
  std::jthread thread_;
};

bool say(int fd, const std::string& text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string gzip(std::string text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

bool say_gzip(int fd, const std::string& packed) {
  return say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nContent-Length: " +
                     std::to_string(packed.size()) + "\r\n\r\n" + packed);
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == Errc::io || error.code() == Errc::usage) << error.what();
    return error.what();
  }
  return "";
}

TEST(Http, CarriesMethodPathBodyStatusAndType) {
  const HttpServer server("127.0.0.1", 0, echo);
  const HttpAnswer got = http_get(local(server.port(), "/a/b?c=d"));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.content_type, "text/x.echo");
  EXPECT_EQ(got.body, "GET /a/b ");
  const std::string body("\0\r\n\xFF plain bytes", 16);
  EXPECT_EQ(http_post(local(server.port(), "/p"), body, "text/plain").body, "POST /p " + body);
  EXPECT_EQ(http_get(local(server.port())).body, "GET / ");
  EXPECT_EQ(http_get(local(server.port(), "/empty")).status, 404);
  EXPECT_EQ(http_get(local(server.port(), "/empty")).body, "");
  EXPECT_EQ(http_get(local(server.port(), "/throw")).status, 500);
}

TEST(Http, ABodyOfExactlyTheLimitPassesAndOneByteMoreDoesNot) {
  const HttpLimits small{.body_bytes = 100};
  const HttpServer server(
      "127.0.0.1", 0,
      [](const HttpRequest& r) {
        return HttpAnswer{200, "t/t", r.body};
      },
      small);
  const std::string url = local(server.port());
  EXPECT_EQ(http_post(url, std::string(100, 'x'), "t/t", small).body.size(), 100U);
  EXPECT_EQ(http_post(url, std::string(101, 'x'), "t/t").status, 413);
  EXPECT_NE(error_of([&] {
              (void)http_post(url, std::string(100, 'x'), "t/t", {.body_bytes = 99});
            }).find("longer than 99 bytes"),
            std::string::npos);
}

TEST(Http, TheServerAnswersWhatPeopleShouldNotSend) {
  const HttpServer server("127.0.0.1", 0, echo, {.body_bytes = 1000, .timeout_s = 1});
  struct Row {
    const char* what;
    std::string request;
    const char* answer;  // how it starts
  };
  const std::string close = "Host: a\r\nConnection: close\r\n";
  const std::string chunk = "190\r\n" + std::string(0x190, 'x') + "\r\n";
  const std::vector<Row> rows = {
      {"a good request", "GET /a HTTP/1.1\r\n" + close + "\r\n", "HTTP/1.1 200"},
      {"not HTTP", "hello\r\n\r\n", "HTTP/1.1 400"},
      {"another method", "PUT /a HTTP/1.1\r\n" + close + "Content-Length: 0\r\n\r\n",
       "HTTP/1.1 200"},
      {"no method", "BREW /a HTTP/1.1\r\n" + close + "\r\n", "HTTP/1.1 400"},
      {"a chunked body",
       "POST /a HTTP/1.1\r\n" + close + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n",
       "HTTP/1.1 200"},
      {"chunks without end",
       "POST /a HTTP/1.1\r\n" + close + "Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk +
           chunk,
       "HTTP/1.1 413"},
      {"a body cut short", "POST /a HTTP/1.1\r\n" + close + "Content-Length: 10\r\n\r\nabc",
       "HTTP/1.1 400"},
      {"a form",
       "POST /a HTTP/1.1\r\n" + close +
           "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 0\r\n\r\n",
       "HTTP/1.1 400"},
      {"a line above the limit", "GET /" + std::string(10'000, 'a') + " HTTP/1.1\r\n\r\n",
       "HTTP/1.1 414"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(raw_exchange(server.port(), row.request), row.answer) << row.what;
  }
  EXPECT_EQ(http_get(local(server.port())).status, 200) << "it serves on after all that";
}

TEST(Http, APeerThatMisbehavesIsAnError) {
  struct Row {
    const char* what;
    std::function<void(int)> answer;
    const char* error;
  };
  const std::vector<Row> rows = {
      {"hangs up", [](int) {}, "not whole HTTP"},
      {"is not HTTP", [](int fd) { say(fd, "SSH-2.0-x\r\n\r\n"); }, "not whole HTTP"},
      {"cuts the body short",
       [](int fd) { say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"); },
       "not whole HTTP"},
      {"announces gigabytes",
       [](int fd) {
         say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + std::string(2000, 'x'));
       },
       "longer than 1000 bytes"},
      {"sends chunks without end",
       [](int fd) {
         if (!say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
         while (say(fd, "4\r\nabcd\r\n")) {
         }
       },
       "longer than 1000 bytes"},
      {"packs it in another way",
       [](int fd) {
         say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc");
       },
       "encoded as br; only gzip"},
      {"packs it twice",
       [](int fd) {
         say(fd,
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n"
             "Content-Length: 3\r\n\r\nabc");
       },
       "encoded as gzip, gzip; only gzip"},
      {"says that it packs nothing",
       [](int fd) {
         say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 1001\r\n\r\n" +
                     std::string(1001, 'x'));
       },
       "longer than 1000 bytes"},
      {"calls gzip what is none",
       [](int fd) {
         say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
       },
       "is not whole gzip"},
      {"cuts gzip short", [](int fd) { say_gzip(fd, gzip("hello").substr(0, 20)); },
       "is not whole gzip"},
      {"adds to gzip", [](int fd) { say_gzip(fd, gzip("hello") + "x"); }, "is not whole gzip"},
      {"packs gigabytes", [](int fd) { say_gzip(fd, gzip(std::string(100'000, 'x'))); },
       "longer than 1000 bytes"},
      {"says nothing", [](int fd) { read_to_end(fd); }, "within 1 s"},
      {"sends a header line now and then",
       [](int fd) {
         if (!say(fd, "HTTP/1.1 200 OK\r\n")) return;
         while (say(fd, "X: y\r\n")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
       },
       "within 1 s"},
  };
  for (const auto& row : rows) {
    const RawServer server(row.answer);
    const std::string error =
        error_of([&] { (void)http_get(local(server.port), {.body_bytes = 1000, .timeout_s = 1}); });
    EXPECT_NE(error.find(row.error), std::string::npos) << row.what << ": " << error;
    EXPECT_NE(error.find("127.0.0.1"), std::string::npos) << row.what << " names no URL";
  }
}

TEST(Http, WhatComesPackedIsUnpacked) {
  for (const size_t size : {0, 1, 999, 1000}) {
    std::string text(size, ' ');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i * i * 2654435761 >> 13);
    const RawServer server([&](int fd) { say_gzip(fd, gzip(text)); });
    const HttpAnswer answer = http_get(local(server.port), {.body_bytes = 1000, .timeout_s = 5});
    EXPECT_EQ(answer.body, text);
  }
}

TEST(Http, ARedirectIsAnAnswerAndIsNotFollowed) {
  const RawServer server([](int fd) {
    say(fd, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_EQ(http_get(local(server.port)).status, 302);
}

TEST(Http, UrlsThatAreRefused) {
  for (const char* url :
       {"", "ftp://a/", "127.0.0.1:80", "http://", "https:///a", "http://a b/", "http://a/\r\nX: y",
        "http://user:word@a/", "http://a/#x", "file:///etc/passwd", "HTTP://a/"}) {
    EXPECT_NE(error_of([&] { (void)http_get(url); }), "") << url;
  }
  EXPECT_NE(error_of([] { (void)http_get("http://127.0.0.1:1/", {.timeout_s = 1}); }), "");
}

TEST(Http, APortIsNotShared) {
  const HttpServer server("127.0.0.1", 0, echo);
  EXPECT_NE(
      error_of([&] { const HttpServer second("127.0.0.1", server.port(), echo); }).find("in use"),
      std::string::npos);
}

TEST(Http, DestructionWaitsForTheRequestInProgress) {
  std::atomic<bool> started = false, finished = false;
  std::string body;
  std::jthread client;
  {
    const HttpServer server("127.0.0.1", 0, [&](const HttpRequest&) {
      started = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      finished = true;
      return HttpAnswer{200, "text/plain", "done"};
    });
    client = std::jthread([&, url = local(server.port())] { body = http_get(url).body; });
    while (!started) std::this_thread::yield();
  }
  EXPECT_TRUE(finished);
  client.join();
  EXPECT_EQ(body, "done");
}

}  // namespace
}  // namespace cleared::tools
