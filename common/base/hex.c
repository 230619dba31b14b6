#include "base/hex.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *hex, void *out, size_t len)
{
    uint8_t *bytes = out;

    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

        if (low < 0)
            return -1;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return hex[2 * len] == '\0' ? 0 : -1;
}

static char *encode64(const uint8_t *data, size_t len, const char *alphabet, bool pad)
{
    char *out = mem_alloc((len + 2) / 3 * 4 + 1);
    char *p = out;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16;

        v |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
        v |= i + 2 < len ? data[i + 2] : 0;
        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        if (i + 1 < len)
            *p++ = alphabet[v >> 6 & 63];
        else if (pad)
            *p++ = '=';
        if (i + 2 < len)
            *p++ = alphabet[v & 63];
        else if (pad)
            *p++ = '=';
    }
    return out;
}

char *base64_encode(const void *data, size_t len)
{
    return encode64(data, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                    true);
}

char *base64url_encode(const void *data, size_t len)
{
    return encode64(data, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
                    false);
}

static int digit64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

int base64_decode(const char *s, size_t len, uint8_t **out, size_t *out_len)
{
    size_t digits = len;
    uint32_t bits = 0;
    unsigned held = 0;
    uint8_t *bytes;
    size_t n = 0;

    while (digits > 0 && len - digits < 2 && s[digits - 1] == '=')
        digits--;
    if (digits % 4 == 1 || (digits < len && len % 4 != 0))
        return -1;
    bytes = mem_alloc(digits / 4 * 3 + 3);
    for (size_t i = 0; i < digits; i++) {
        int digit = digit64(s[i]);

        if (digit < 0)
            goto bad;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[n++] = (uint8_t)(bits >> held);
        }
    }
    /* Bits that belong to no byte would give one value several spellings. */
    if (bits & ((1u << held) - 1))
        goto bad;
    *out = bytes;
    *out_len = n;
    return 0;
bad:
    free(bytes);
    return -1;
}

bool ct_equal(const void *a, size_t a_len, const void *b, size_t b_len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t differ = 0;

    if (a_len != b_len)
        return false;
    for (size_t i = 0; i < a_len; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}
