# Writes the code version, as checkpoints and receipts name it, into OUT when it has changed. Run at
# build time, because a commit does not run CMake again.
find_package(Git QUIET)
set(commit "")
if(Git_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --abbrev=40 --exclude=*
    WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(commit STREQUAL "")
  set(text "cleared ${VERSION}")
else()
  set(text "cleared ${VERSION} ${commit}")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#include \"train/version.h\"

const char* cleared::train::code_version() noexcept {
  return \"${text}\";
}
")
