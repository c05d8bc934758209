#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# A wflDB client that can do no more than HMAC: Perl as it comes, without a module from elsewhere, without a
# private key. It signs with the key of a session for one bucket, which somebody with a credential hands out:
#
#   set -a; eval "$(wfldb session --bucket photos --ttl 15m)"; set +a
#   examples/session.pl put FILE KEY        stores a file
#   examples/session.pl get KEY             to standard output
#   examples/session.pl ls [PREFIX]         a page of the listing, as JSON
#   examples/session.pl rm KEY
#
# Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused by the server, 4 not found.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex hmac_sha256_hex);
use IO::Socket::INET;
use POSIX qw(strftime);
use Time::HiRes qw(time);

sub fail { my ($code, @text) = @_; print STDERR "session.pl: @text\n"; exit $code }

sub environment {
    my ($name) = @_;
    my $value = $ENV{$name};
    fail(2, "$name is not set; wfldb session prints it") unless defined $value && $value ne '';
    return $value;
}

# Every byte but the unreserved ones, and those in $keep, as %XX.
sub encode {
    my ($text, $keep) = @_;
    $text =~ s/([^A-Za-z0-9._~$keep-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

# A counter that no other request of the session has: the time in milliseconds. The server takes the last 4096
# in any order, so several of us may run at once.
my $counter = 0;
sub next_counter {
    my $now = int(time() * 1000);
    $counter = $now > $counter ? $now : $counter + 1;
    return $counter;
}

# The answer to a signed request: status and body.
sub request {
    my ($method, $path, $query, $body) = @_;
    my $session = environment('WFLDB_SESSION');
    my ($authority) = environment('WFLDB_ENDPOINT') =~ m{^http://([^/]+)/?$}
        or fail(2, 'WFLDB_ENDPOINT is no URL like http://127.0.0.1:7410');
    my %signed = (
        'x-wfldb-nonce'     => next_counter(),
        'x-wfldb-timestamp' => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime),
    );
    if (defined $body) {
        $signed{'content-type'} = 'application/octet-stream';
        $signed{'x-wfldb-content-sha256'} = sha256_hex($body);
    }

    # The canonical request, each line ended by a newline, and its MAC.
    my $text = join '', map { "$_\n" } 'WFLDB1', $method, $path, $query, lc $authority, sha256_hex($session),
        map { "$_:$signed{$_}" } sort keys %signed;
    my $mac = hmac_sha256_hex($text, environment('WFLDB_MAC_KEY'));

    my $socket = IO::Socket::INET->new(PeerAddr => $authority, Proto => 'tcp', Timeout => 30) or fail(1, "$authority: $@");
    my @head = ("$method $path" . ($query eq '' ? '' : "?$query") . ' HTTP/1.1', "Host: $authority", 'Connection: close',
        "Authorization: Session $session", "X-WflDB-Signature: $mac", map { "$_: $signed{$_}" } sort keys %signed);
    push @head, 'Content-Length: ' . length $body if defined $body;
    print {$socket} join("\r\n", @head, '', ''), defined $body ? $body : '';
    my $answer = do { local $/; <$socket> };
    fail(1, "$authority closed the connection") unless defined $answer && $answer =~ m{^HTTP/1\.1 (\d+)};
    my $status = $1;
    my ($lines, $content) = split /\r\n\r\n/, $answer, 2;
    $content = '' unless defined $content;
    if ($lines =~ /^transfer-encoding: *chunked\r?$/mi) {
        my ($rest, $whole) = ($content, '');
        while ($rest =~ s/^([0-9a-fA-F]+)[^\r]*\r\n//) {
            my $size = hex $1;
            last if $size == 0;
            $whole .= substr $rest, 0, $size;
            substr($rest, 0, $size + 2) = '';
        }
        $content = $whole;
    } elsif ($lines =~ /^content-length: *(\d+)\r?$/mi && length $content != $1) {
        fail(1, "$authority closed the connection in the middle of the answer");
    }
    fail($status == 404 ? 4 : 3, "refused, $status: $content") unless $status =~ /^2/;
    return $content;
}

binmode STDIN; binmode STDOUT;
my ($command, @words) = @ARGV;
my $usage = 'use it so: session.pl put FILE KEY | get KEY | ls [PREFIX] | rm KEY';
fail(2, $usage) unless defined $command;
my $bucket = '/v1/' . environment('WFLDB_SCOPE');
if ($command eq 'put' && @words == 2) {
    open my $file, '<:raw', $words[0] or fail(1, "$words[0]: $!");
    my $content = do { local $/; <$file> };
    $content = '' unless defined $content;
    request('PUT', "$bucket/" . encode($words[1], '/'), '', $content);
} elsif ($command eq 'get' && @words == 1) {
    print request('GET', "$bucket/" . encode($words[0], '/'), '');
} elsif ($command eq 'ls' && @words < 2) {
    # Names of the query sorted, as the canonical request has them.
    print request('GET', "$bucket/scan", 'limit=1000&prefix=' . encode(@words ? $words[0] : '', '')), "\n";
} elsif ($command eq 'rm' && @words == 1) {
    request('DELETE', "$bucket/" . encode($words[0], '/'), '');
} else {
    fail(2, $usage);
}
