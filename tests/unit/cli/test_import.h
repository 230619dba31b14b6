/* The parts of the tests of `gantry import codepipeline`. */
#ifndef GANTRY_TESTS_UNIT_CLI_TEST_IMPORT_H
#define GANTRY_TESTS_UNIT_CLI_TEST_IMPORT_H

#include <stddef.h>

struct import_result;

char *import_report(const struct import_result *result);
/* Fails the test unless every document of it is one. */
size_t import_count_definitions(const char *yaml);

void each_rule_holds(void **state);
void what_is_no_pipeline_is_refused_with_file_line_and_reason(void **state);
void variables_that_no_release_could_carry_lose_their_defaults(void **state);
void what_a_template_tells_is_filled_in(void **state);
void what_a_project_ran_in_is_taken_over(void **state);
void a_parameter_that_is_given_takes_the_placeholders_place(void **state);
void what_grows_or_goes_round_is_refused_at_once(void **state);
void texts_that_mean_something_to_gantry_are_made_harmless(void **state);

#endif
