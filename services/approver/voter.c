/* Who may vote, as far as it is plain here. The promoter decides, and knows more: the authors of
 * what lies between, and who approved at another stage. */
#include <stdio.h>
#include <strings.h>

#include "base/str.h"
#include "gantry/v1/request.pb-c.h"
#include "services/approver/approver.h"

static bool same_email(const char *a, const char *b)
{
    return *a && *b && strcasecmp(a, b) == 0;
}

static bool is_named(const char *by, const struct auth_person *person)
{
    char entry[300];

    for (size_t i = 0; i < person->groups.count; i++) {
        snprintf(entry, sizeof entry, "group:%s", person->groups.items[i]);
        if (str_eq(entry, by))
            return true;
    }
    snprintf(entry, sizeof entry, "user:%s", person->email);
    if (*person->email && strcasecmp(entry, by) == 0)
        return true;
    snprintf(entry, sizeof entry, "user:%s", person->subject);
    return str_eq(entry, by);
}

const char *voter_refused(const Gantry__V1__ApprovalRequest *request,
                          const struct auth_person *person)
{
    for (size_t i = 0; i < request->n_by; i++)
        if (is_named(request->by[i], person))
            return NULL;
    return request->n_by == 0 ? NULL
                              : "you are not among those who may vote on this approval (its `by`)";
}

static bool has_voted(const Gantry__V1__ApprovalRequest *request, const struct auth_person *person)
{
    for (size_t i = 0; i < request->n_votes; i++) {
        const Gantry__V1__Actor *voter = request->votes[i]->voter;
        if (voter &&
            (str_eq(voter->subject, person->subject) || same_email(voter->email, person->email)))
            return true;
    }
    return false;
}

static bool is_author(const Gantry__V1__ApprovalRequest *request, const struct auth_person *person)
{
    for (size_t i = 0; i < request->n_authors; i++)
        if (same_email(request->authors[i], person->email))
            return true;
    return false;
}

static bool is_starter(const Gantry__V1__ApprovalRequest *request, const struct auth_person *person)
{
    const Gantry__V1__Actor *starter = request->starter;

    return starter &&
           (str_eq(starter->subject, person->subject) || same_email(starter->email, person->email));
}

const char *voter_obstacle(const Gantry__V1__ApprovalRequest *request,
                           const struct auth_person *person)
{
    const char *refused = voter_refused(request, person);

    if (request->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED)
        return "the approval is closed";
    if (!auth_may(person, AUTH_APPROVER))
        return "voting needs the role approver";
    if (refused)
        return refused;
    if (has_voted(request, person))
        return "you have voted already";
    for (size_t i = 0; i < request->n_not_; i++) {
        if (str_eq(request->not_[i], "author") && is_author(request, person))
            return "you are an author of the release";
        if (str_eq(request->not_[i], "starter") && is_starter(request, person))
            return "you started the release";
    }
    return NULL;
}
