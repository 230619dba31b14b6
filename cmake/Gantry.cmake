# How this project builds its parts: one target a library (gantry_library), a program (gantry_program) and a test
# (gantry_unit_test). A library links what it names and nothing else, so a dependency in the wrong direction does not link.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

option(GANTRY_WERROR "Warnings are errors" ON)
set(GANTRY_SANITIZE "" CACHE STRING "Sanitizers for everything, e.g. address,undefined or thread")
option(GANTRY_FUZZ "Build the libFuzzer targets (clang)" OFF)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka>=2.0)
pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET libevent libevent_pthreads libevent_openssl)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ICAL REQUIRED IMPORTED_TARGET libical)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl libcrypto)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)

add_library(gantry_options INTERFACE)
string(LENGTH "${GANTRY_SANITIZE}" sanitized)
target_compile_options(gantry_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
    -fstack-protector-strong -fno-strict-aliasing $<$<BOOL:${GANTRY_WERROR}>:-Werror>)
target_compile_definitions(gantry_options INTERFACE _GNU_SOURCE GANTRY_VERSION="${PROJECT_VERSION}"
    $<$<NOT:$<OR:$<CONFIG:Debug>,$<BOOL:${sanitized}>>>:_FORTIFY_SOURCE=2>)
target_include_directories(gantry_options INTERFACE ${CMAKE_SOURCE_DIR}/common ${CMAKE_SOURCE_DIR})
if(GANTRY_SANITIZE)
    add_compile_options(-fsanitize=${GANTRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${GANTRY_SANITIZE})
endif()
if(GANTRY_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# gantry_library(NAME SOURCES a.c ... [DEPS gantry_x ...] [PRIVATE_LIBS PkgConfig::Y ...])
# DEPS are other libraries of the project; PRIVATE_LIBS third-party ones, which only this library's .c files include.
function(gantry_library name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_LIBS" ${ARGN})
    add_library(${name} STATIC ${A_SOURCES})
    target_link_libraries(${name} PUBLIC gantry_options ${A_DEPS} PRIVATE ${A_PRIVATE_LIBS})
    target_compile_options(${name} PRIVATE -include base/banned.h)
endfunction()

# gantry_program(NAME SOURCES main.c ... [DEPS ...] [PRIVATE_LIBS ...]): installed into bin.
# The parts without main.c become the library NAME_parts, so that tests can link them.
function(gantry_program name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_LIBS" ${ARGN})
    set(parts ${A_SOURCES})
    list(REMOVE_ITEM parts main.c)
    string(REPLACE "-" "_" lib ${name}_parts)
    if(parts)
        gantry_library(${lib} SOURCES ${parts} DEPS ${A_DEPS} PRIVATE_LIBS ${A_PRIVATE_LIBS})
        set(A_DEPS ${lib})
    endif()
    add_executable(${name} main.c)
    target_link_libraries(${name} PRIVATE ${A_DEPS} gantry_options)
    target_compile_options(${name} PRIVATE -include base/banned.h)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# gantry_unit_test(NAME SOURCES test_x.c ... DEPS ...): a cmocka program that ctest runs.
function(gantry_unit_test name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_LIBS" ${ARGN})
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE gantry_options ${A_DEPS} ${A_PRIVATE_LIBS} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endfunction()
