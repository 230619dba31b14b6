#include "services/deployer/deployer.h"

int main(int argc, char **argv)
{
    return deployer_main(argc, argv);
}
