#include "buildah/docker.h"

int main(int argc, char **argv)
{
    return docker_main(argc, (const char *const *)argv);
}
