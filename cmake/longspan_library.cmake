# For code without inner loops, tests and the command line: it compiles in three quarters of the time.
set(LONGSPAN_COLD $<$<CONFIG:Release>:-O1>)

# longspan_library(FOLDER [SOURCES ...] [TESTS ...] [DEPENDS ...] [TEST_DEPENDS ...])
#
# One folder of src/ as one static library, and its tests as one program. A folder sees the headers of
# the folders it depends on and of no others: each library exports an include root that holds nothing but
# a link to its own folder, so that a forbidden include does not build.
function(longspan_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;TESTS;DEPENDS;TEST_DEPENDS" ${ARGN})
  set(root ${PROJECT_BINARY_DIR}/include/${folder})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${folder} SYMBOLIC)

  add_library(longspan_${folder} STATIC ${ARG_SOURCES})
  target_include_directories(longspan_${folder} PUBLIC ${root})
  target_link_libraries(longspan_${folder} PUBLIC ${ARG_DEPENDS})

  if(ARG_TESTS)
    add_executable(${folder}_test ${ARG_TESTS})
    target_link_libraries(${folder}_test PRIVATE longspan_${folder} ${ARG_TEST_DEPENDS} GTest::gmock GTest::gtest_main)
    target_compile_definitions(${folder}_test PRIVATE LONGSPAN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_compile_options(${folder}_test PRIVATE ${LONGSPAN_COLD})
    gtest_discover_tests(${folder}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX ${folder}. PROPERTIES TIMEOUT 600)
  endif()
endfunction()
