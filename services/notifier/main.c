#include "services/notifier/notifier.h"

int main(int argc, char **argv)
{
    return notifier_main(argc, argv);
}
