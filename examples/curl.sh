#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A wflDB client of openssl and curl: what docs/protocol.md asks of a signed request, step by step.
#
#   examples/curl.sh put CREDENTIAL FILE|- BUCKET/KEY
#   examples/curl.sh get CREDENTIAL BUCKET/KEY [FILE]       without FILE: to standard output
#   examples/curl.sh ls  CREDENTIAL BUCKET[/PREFIX]         a page of the listing, as JSON
#   examples/curl.sh rm  CREDENTIAL BUCKET/KEY
#
# The server is $WFLDB_ENDPOINT, the credential's endpoint, or http://127.0.0.1:7410.
# Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused by the server, 4 not found.
#
# The private key passes through pipes and shell variables only: it is in no command line and no file but its own.
set -euo pipefail

# An answer is JSON on one line, and so is our complaint.
fail() { local code=$1; shift; printf 'curl.sh: %s\n' "$*" >&2; exit "$code"; }
usage() { fail 2 "use it so: curl.sh put CREDENTIAL FILE|- BUCKET/KEY | get CREDENTIAL BUCKET/KEY [FILE] | ls CREDENTIAL BUCKET[/PREFIX] | rm CREDENTIAL BUCKET/KEY"; }

# member FILE NAME: a string of a flat JSON object; empty where it is not there.
member() { tr '\n' ' ' <"$1" | sed -n "s/.*\"$2\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p"; }

# encode TEXT KEEP: every byte but the unreserved ones, and those in KEEP, as %XX.
encode() {
    local LC_ALL=C text=$1 keep=$2 out='' c i
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        if [[ $c != [A-Za-z0-9._~-] && ( -z $keep || $c != "$keep" ) ]]; then
            printf -v c '%d' "'$c"
            printf -v c '%%%02X' $((c & 255))
        fi
        out+=$c
    done
    printf '%s' "$out"
}

sha256_of_file() { openssl dgst -sha256 -r "$1" | cut -c 1-64; }
sha256_of_text() { printf '%s' "$1" | openssl dgst -sha256 -r | cut -c 1-64; }

# The private JWK's d is the seed's base64url; PKCS#8 is a fixed beginning and the seed (RFC 8410).
private_key_pem() {
    printf -- '-----BEGIN PRIVATE KEY-----\n'
    {
        printf '\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20'
        printf '%s=' "$seed" | tr '_-' '/+' | openssl base64 -d -A
    } | openssl base64
    printf -- '-----END PRIVATE KEY-----\n'
}

read_credential() {
    [[ -f $1 && -r $1 ]] || fail 2 "$1: no such credential file, or not readable"
    [[ $(stat -L -c %a -- "$1") == *00 ]] || fail 2 "$1 can be read by others; chmod 600 $1"
    seed=$(member "$1" d) packet=$(member "$1" packet)
    [[ ${#seed} -eq 43 && -n $packet ]] || fail 2 "$1 is no credential file: it needs a private key and a packet"
    endpoint=${WFLDB_ENDPOINT:-$(member "$1" endpoint)}
    endpoint=${endpoint:-http://127.0.0.1:7410}
    endpoint=${endpoint%/}
    authority=${endpoint#*://}
    [[ $endpoint == http://* || $endpoint == https://* ]] || fail 2 "$endpoint is no URL like http://127.0.0.1:7410"
}

# send METHOD PATH QUERY [BODY-FILE]: both already encoded. The answer's body is in $folder/answer.
send() {
    local method=$1 path=$2 query=$3 body=${4:-} timestamp nonce signature status code=''
    local signed=() options=(--silent --show-error --path-as-is --globoff --noproxy '*' --request "$method")
    timestamp=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
    nonce=$(openssl rand -hex 16)

    # The signed headers, sorted by name.
    [[ -n $body ]] && signed+=('content-type:application/octet-stream' "x-wfldb-content-sha256:$(sha256_of_file "$body")")
    signed+=("x-wfldb-nonce:$nonce" "x-wfldb-timestamp:$timestamp")

    # The canonical request, each line ended by a newline, and its signature.
    printf '%s\n' WFLDB1 "$method" "$path" "$query" "${authority,,}" "$(sha256_of_text "$packet")" "${signed[@]}" >"$folder/request"
    signature=$(openssl pkeyutl -sign -rawin -in "$folder/request" -inkey /dev/fd/3 3< <(private_key_pem) | openssl base64 -A | tr '/+' '_-' | tr -d '=') ||
        fail 1 "openssl could not sign"

    printf '%s\n' "Host: $authority" "Authorization: Bearer $packet" "X-WflDB-Signature: $signature" "${signed[@]/:/: }" >"$folder/headers"
    [[ -n $body ]] && options+=(--data-binary "@$body")
    status=$(curl "${options[@]}" --header "@$folder/headers" --output "$folder/answer" --write-out '%{http_code}' \
        "$endpoint$path${query:+?$query}" 2>"$folder/trouble") || fail 1 "$endpoint: $(head -n 1 "$folder/trouble")"
    [[ $status == 2* ]] && return
    [[ $status == 404 ]] && code=4
    fail "${code:-3}" "refused, $status: $(head -c 2000 "$folder/answer" | tr '\n' ' ')"
}

[[ $# -ge 3 ]] || usage
command=$1
read_credential "$2"
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
: >"$folder/answer"

case $command in
put)
    [[ $# -eq 2 && $2 == ?*/?* ]] || usage
    file=$1
    if [[ $file == - ]]; then
        file=$folder/input
        cat >"$file" # the hash is needed before the first byte is sent
    fi
    [[ -f $file && -r $file ]] || fail 1 "$file: no such file, or not readable"
    send PUT "/v1/$(encode "$2" /)" '' "$file"
    ;;
get)
    [[ $# -le 2 && $1 == ?*/?* ]] || usage
    send GET "/v1/$(encode "$1" /)" ''
    if [[ $# -eq 1 ]]; then
        cat "$folder/answer"
    elif [[ -e $2 && ! -f $2 ]]; then # a pipe or a device is written to, never replaced
        { cat "$folder/answer" >"$2"; } 2>/dev/null || fail 1 "$2 cannot be written"
    else
        # Beside the file first: a name never stands for half of a content.
        part=$(mktemp -- "$2.XXXXXX" 2>/dev/null) || fail 1 "$2 cannot be written"
        if ! { cat "$folder/answer" >"$part" && chmod "$(printf '%o' $((0666 & ~$(umask))))" "$part" && mv -T -- "$part" "$2"; } 2>/dev/null; then
            rm -f -- "$part"
            fail 1 "$2 cannot be written"
        fi
    fi
    ;;
ls)
    [[ $# -eq 1 && $1 == ?* ]] || usage
    prefix=''
    [[ $1 == */* ]] && prefix=$(encode "${1#*/}" '')
    # Names of the query sorted, as the canonical request has them.
    send GET "/v1/${1%%/*}/scan" "limit=1000&prefix=$prefix"
    cat "$folder/answer"
    echo
    ;;
rm)
    [[ $# -eq 1 && $1 == ?*/?* ]] || usage
    send DELETE "/v1/$(encode "$1" /)" ''
    ;;
*) usage ;;
esac
