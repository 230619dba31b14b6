#include "services/approver/approver.h"

int main(int argc, char **argv)
{
    return approver_main(argc, argv);
}
