/* What single texts of a definition may be. Each returns NULL, or what is wrong and what would be
 * right. Internal to the library. */
#ifndef GANTRY_DEFINITION_SYNTAX_H
#define GANTRY_DEFINITION_SYNTAX_H

const char *syntax_name(const char *text);
const char *syntax_label(const char *text);
const char *syntax_variable(const char *text); /* of an environment */
const char *syntax_input(const char *text);    /* a custom action's input's key */
const char *syntax_glob(const char *text);
const char *syntax_branch(const char *text);
const char *syntax_tag(const char *text);
const char *syntax_path_glob(const char *text);
const char *syntax_git(const char *text);
const char *syntax_secret(const char *text);      /* its name */
const char *syntax_path(const char *text);        /* in a source */
const char *syntax_image(const char *text);       /* a repository */
const char *syntax_build_image(const char *text); /* of a container: tag or digest allowed */
const char *syntax_kubernetes(const char *text);  /* a name in it, dots allowed */
const char *syntax_node_label(const char *text);  /* its name */
const char *syntax_voter(const char *text);
const char *syntax_excluded(const char *text); /* of `not:` */
const char *syntax_event(const char *text);
const char *syntax_url(const char *text);
const char *syntax_address(const char *text);

#endif
