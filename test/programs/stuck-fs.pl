# stuck-fs.pl DIRECTORY: mounts a FUSE file system that blocks every access: it answers FUSE_INIT and no other request.
use strict;
use warnings;

$| = 1;
my ($directory) = @ARGV;
sysopen my $fuse, '/dev/fuse', 2 or die "open: $!";
my ($source, $type) = ('stuck', 'fuse');
my $options = 'fd=' . fileno($fuse) . ',rootmode=40000,user_id=0,group_id=0,allow_other';
syscall(165, $source, $directory, $type, 0, $options) == 0 or die "mount: $!";    # __NR_mount

my $most = 1 << 17;
sysread $fuse, my $request, $most or die "read: $!";
my ($length, $operation, $unique) = unpack 'L L Q', $request;
my $answer = pack 'L L L L S S L L S S L7', 7, 31, 4096, 0, 12, 10, 4096, 1, 0, 0, (0) x 7;
syswrite $fuse, pack('L l Q', 16 + length $answer, 0, $unique) . $answer or die "write: $!";
print "mounted\n";
1 while sysread $fuse, $request, $most;
