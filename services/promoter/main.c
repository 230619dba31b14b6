#include "services/promoter/promoter.h"

int main(int argc, char **argv)
{
    return promoter_main(argc, argv);
}
