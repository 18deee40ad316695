# Helpers, so that a module's CMakeLists.txt is a list of files and of what it may use.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CLEARED_SANITIZE "" CACHE STRING "Comma-separated -fsanitize= list")
option(CLEARED_UNITY "Compile a module's files eight to a unit: headers cost more than code" ON)
option(CLEARED_FUZZ "Link *_fuzz.cpp with libFuzzer instead of replaying their corpus" OFF)

add_library(cleared_flags INTERFACE)
target_include_directories(cleared_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_options(cleared_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Werror=return-type>)
if(CLEARED_SANITIZE)
  target_compile_options(cleared_flags INTERFACE -fsanitize=${CLEARED_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(cleared_flags INTERFACE -fsanitize=${CLEARED_SANITIZE})
  # The sandboxed children limit their address space, which a sanitizer's shadow memory does not fit into.
  target_compile_definitions(cleared_flags INTERFACE CLEARED_SANITIZED=1)
endif()

# Files of one unit share their anonymous namespaces: a name that clashes is a name worth changing.
function(cleared_unite name)
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${CLEARED_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# cleared_library(cleared_ledger SOURCES a.cpp b.cpp USES cleared_base PRIVATE_USES sqlite3)
function(cleared_library name)
  cmake_parse_arguments(L "" "" "SOURCES;USES;PRIVATE_USES" ${ARGN})
  add_library(${name} STATIC ${L_SOURCES})
  target_link_libraries(${name} PUBLIC cleared_flags ${L_USES} PRIVATE ${L_PRIVATE_USES})
  cleared_unite(${name})
endfunction()

# A program that sets CLEARED_STARTS_OFTEN has Protocol Buffers inside: loading the shared library takes 1 ms. Not train, for LibTorch
# comes with its own.
find_library(CLEARED_PROTOBUF_ARCHIVE libprotobuf.a)
mark_as_advanced(CLEARED_PROTOBUF_ARCHIVE)
set(cleared_protobuf protobuf::libprotobuf)
if(CLEARED_PROTOBUF_ARCHIVE)
  set(cleared_protobuf $<IF:$<BOOL:$<TARGET_PROPERTY:CLEARED_STARTS_OFTEN>>,${CLEARED_PROTOBUF_ARCHIVE},protobuf::libprotobuf>)
endif()

# cleared_protos(cleared_ledger_protos record.proto ...): a library of the generated messages,
# included by their path in the tree: "ledger/record.pb.h". Generated code is not ours to warn about.
function(cleared_protos name)
  set(sources)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/generated)
  foreach(proto IN LISTS ARGN)
    set(in ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
    cmake_path(RELATIVE_PATH in BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE relative)
    string(REGEX REPLACE "\\.proto$" ".pb" stem ${PROJECT_BINARY_DIR}/generated/${relative})
    add_custom_command(OUTPUT ${stem}.cc ${stem}.h
      COMMAND protobuf::protoc --cpp_out=${PROJECT_BINARY_DIR}/generated -I${PROJECT_SOURCE_DIR} ${relative}
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} DEPENDS ${in} VERBATIM)
    list(APPEND sources ${stem}.cc)
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(${name} PUBLIC ${cleared_protobuf})
  if(CLEARED_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${CLEARED_SANITIZE} -fno-omit-frame-pointer)
  endif()
endfunction()

# cleared_test(ledger_tests SOURCES x_test.cpp USES cleared_ledger): one binary per module.
function(cleared_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;USES;LABELS" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_USES} GTest::gmock_main)
  cleared_unite(${name})
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests
    PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}")
endfunction()

# cleared_fuzz(note_fuzz SOURCES note_fuzz.cpp USES cleared_ledger CORPUS dir)
function(cleared_fuzz name)
  cmake_parse_arguments(F "" "CORPUS" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${F_SOURCES})
  target_link_libraries(${name} PRIVATE ${F_USES})
  if(CLEARED_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    if(NOT TARGET cleared_fuzz_replay)
      add_library(cleared_fuzz_replay OBJECT ${PROJECT_SOURCE_DIR}/tests/fuzz_replay.cpp)
      target_link_libraries(cleared_fuzz_replay PRIVATE cleared_flags)
    endif()
    target_link_libraries(${name} PRIVATE cleared_fuzz_replay)
    add_test(NAME ${name} COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/corpus/${F_CORPUS})
  endif()
endfunction()
