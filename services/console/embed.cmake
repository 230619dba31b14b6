# Turns files into one C file: cmake -D OUT=... -D GZIP=... -D FILES="file|path;..." -P embed.cmake
# Each file stands there plain and compressed, with its type and an entity tag of its content.
function(bytes_of file variable)
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
    set(${variable} "${bytes}" PARENT_SCOPE)
endfunction()

set(types
    "html=text/html\; charset=utf-8" "js=text/javascript\; charset=utf-8" "css=text/css\; charset=utf-8"
    "svg=image/svg+xml" "json=application/json")

set(arrays "")
set(table "")
set(count 0)
foreach(entry ${FILES})
    string(REPLACE "|" ";" parts ${entry})
    list(GET parts 0 file)
    list(GET parts 1 path)
    get_filename_component(extension ${file} LAST_EXT)
    string(SUBSTRING ${extension} 1 -1 extension)
    set(type "")
    foreach(pair IN LISTS types)
        if(pair MATCHES "^${extension}=(.*)$")
            set(type "${CMAKE_MATCH_1}")
        endif()
    endforeach()
    if(type STREQUAL "")
        message(FATAL_ERROR "no media type for ${file}")
    endif()
    execute_process(COMMAND ${GZIP} -9 -n -c ${file} OUTPUT_FILE ${OUT}.gz COMMAND_ERROR_IS_FATAL ANY)
    bytes_of(${file} plain)
    bytes_of(${OUT}.gz gzip)
    file(SHA256 ${file} hash)
    string(SUBSTRING ${hash} 0 32 tag)
    string(APPEND arrays "static const unsigned char plain_${count}[] = {\n${plain}0};\n"
                         "static const unsigned char gzip_${count}[] = {\n${gzip}0};\n")
    string(APPEND table "    {\"${path}\", \"${type}\", \"\\\"${tag}\\\"\", plain_${count},"
                        " sizeof(plain_${count}) - 1, gzip_${count}, sizeof(gzip_${count}) - 1},\n")
    math(EXPR count "${count} + 1")
endforeach()
file(REMOVE ${OUT}.gz)
file(WRITE ${OUT} "#include \"services/console/page.h\"\n\n${arrays}\nconst struct page_file page_files[] = {\n${table}    {0},\n};\n")
