# Another CRoaring in the same server, as other extensions bring one along: neither ends up in the other.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
plan skip_all => 'no C compiler' if system('cc --version >/dev/null 2>&1') != 0;

# Every function of the other one ends the server; the names are those of the real one, of its inside as well.
open(my $source, '>', "$dir/other.c") or die $!;
print $source "#include <stdlib.h>\n", map { "void $_(void) { abort(); }\n" } qw(roaring_bitmap_add roaring_bitmap_and_inplace roaring_bitmap_andnot_inplace
	roaring_bitmap_clear roaring_bitmap_create roaring_bitmap_create_with_capacity roaring_bitmap_free roaring_bitmap_from_range
	roaring_bitmap_get_cardinality roaring_bitmap_is_empty roaring_bitmap_or_inplace roaring_bitmap_portable_deserialize_safe
	roaring_bitmap_portable_serialize roaring_bitmap_portable_size_in_bytes roaring_bitmap_run_optimize roaring_bitmap_xor_inplace
	ra_init ra_init_with_capacity ra_clear ra_portable_serialize ra_portable_size_in_bytes ra_portable_deserialize array_container_create
	array_container_create_given_capacity bitset_container_create run_container_create extend_array);
close($source);
system("cc -shared -fPIC -o $dir/other.so $dir/other.c") == 0 or die 'cannot compile';

my $node = PostgreSQL::Test::Cluster->new('other');
$node->init;
{
	local $ENV{LD_PRELOAD} = "$dir/other.so";
	$node->start;
}
like(slurp_file('/proc/' . (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] . '/maps'), qr/other\.so/, 'the other library is in the server');
$node->safe_psql('postgres', 'CREATE EXTENSION crm');
is($node->safe_psql('postgres', q{SELECT crm.cardinality(a OPERATOR(crm.&) b), crm.cardinality(a OPERATOR(crm.|) b), crm.cardinality(a OPERATOR(crm.-) b)
	FROM (SELECT crm.audience_agg(i * 3) AS a, crm.audience_agg(i * 5) AS b FROM generate_series(1, 100000) i) s}),
	'20000|180000|80000', 'audiences reckon with their own');

my $library = $node->safe_psql('postgres', 'SELECT setting FROM pg_config() WHERE name = $$PKGLIBDIR$$') . '/crm.so';
my $needed = `readelf -d $library 2>/dev/null`;
SKIP:
{
	skip 'no readelf', 1 if $needed eq '';
	unlike($needed, qr/NEEDED.*roaring/, 'the library does not lay its CRoaring open to others');
}
$node->stop;
done_testing();
