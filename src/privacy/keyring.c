/*
 * The keyring: read from crm.keyring_file or from what crm.keyring_command prints, kept in this backend's memory alone.
 *
 * A line is "purpose id status key": purpose enc, index or pseudonym; id from 1; status active or old; the key 32 bytes in base64
 * or hex. Each purpose has one active key. # begins a comment. No message ever shows more of a line than its number.
 */
#include "base/crm.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "privacy/keyring.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_KEYS 256
#define MAX_KEYRING (1024 * 1024)
/* What a command said is asked for again after this many seconds. */
#define COMMAND_LIFE 300

static char *keyring_file;
static char *keyring_command;
static bool settings_changed = true;

static KeyringKey *keys = NULL;
static int key_count = 0;
static uint64 key_generation = 0;
static TimestampTz checked_at = 0;
static TimestampTz loaded_at = 0;
static struct stat loaded_from;

static const char *const purpose_names[KEY_PURPOSES] = {"enc", "index", "pseudonym"};

/*
 * Note that the keyring must be read again
 */
static void
assign_keyring(const char *value, void *extra)
{
	settings_changed = true;
}

void
keyring_define_settings(void)
{
	DefineCustomStringVariable("crm.keyring_file",
							   "File that holds the keys of crm.sealed, blind indexes and pseudonyms.",
							   "Readable by the server's user alone, outside the data directory.",
							   &keyring_file,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE,
							   NULL,
							   assign_keyring,
							   NULL);
	DefineCustomStringVariable("crm.keyring_command",
							   "Command that prints the keyring, instead of a file.",
							   NULL,
							   &keyring_command,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE,
							   NULL,
							   assign_keyring,
							   NULL);
	DefineCustomStringVariable("crm.key_folder",
							   "Folder that holds one data key a person, outside the database and its backups.",
							   NULL,
							   &crm_key_folder,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE,
							   NULL,
							   NULL,
							   NULL);
}

void
keyring_check_outside(const char *path, const char *setting)
{
	char *real_path = realpath(path, NULL);
	char *real_data = realpath(DataDir, NULL);
	bool found = real_path != NULL && real_data != NULL;
	bool inside = false;

	if (found)
	{
		Size length = strlen(real_data);

		inside =
			strncmp(real_path, real_data, length) == 0 && (real_path[length] == '/' || real_path[length] == '\0');
	}
	free(real_path);
	free(real_data);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("could not open what %s names", setting),
				 errhint("Check the setting %s in the server's configuration.", setting)));
	if (inside)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("%s lies inside the data directory", setting),
				 errdetail("A backup of the data directory would hold the keys beside what they seal."),
				 errhint("Keep keys outside the data directory.")));
}

/*
 * Read the file into buffer: bytes read
 */
static int
read_keyring_file(char *buffer, struct stat *from)
{
	int fd;
	int length = 0;

	if (keyring_file[0] != '/')
		ereport(ERROR, (errcode(ERRCODE_CRM_KEYRING), errmsg("crm.keyring_file is not an absolute path")));
	keyring_check_outside(keyring_file, "crm.keyring_file");
	fd = OpenTransientFile(keyring_file, O_RDONLY);
	if (fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("could not open the keyring: %m"),
				 errhint("Check the setting crm.keyring_file in the server's configuration.")));
	if (fstat(fd, from) < 0)
		ereport(ERROR, (errcode(ERRCODE_CRM_KEYRING), errmsg("could not examine the keyring: %m")));
	/* The rule that the server has for the private key of its own certificate. */
	if (!S_ISREG(from->st_mode) || (from->st_uid != geteuid() && from->st_uid != 0) ||
		(from->st_mode & (from->st_uid == 0 ? (S_IWGRP | S_IXGRP | S_IRWXO) : (S_IRWXG | S_IRWXO))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("the keyring can be read by others, or is no plain file of the server's user"),
				 errhint("Make the file owned by the server's user with mode 0600, or by root with mode 0640 or less.")));
	for (;;)
	{
		int got = read(fd, buffer + length, MAX_KEYRING - length);

		if (got < 0)
			ereport(ERROR, (errcode(ERRCODE_CRM_KEYRING), errmsg("could not read the keyring: %m")));
		if (got == 0)
			break;
		length += got;
		if (length >= MAX_KEYRING)
			ereport(ERROR, (errcode(ERRCODE_CRM_KEYRING), errmsg("the keyring is larger than 1 MB")));
	}
	CloseTransientFile(fd);
	return length;
}

/*
 * Read what the command prints into buffer: bytes read
 */
static int
read_keyring_command(char *buffer)
{
	FILE *pipe = OpenPipeStream(keyring_command, PG_BINARY_R);
	int length;
	int status;

	if (pipe == NULL)
	{
		ereport(ERROR, (errcode(ERRCODE_CRM_KEYRING), errmsg("could not run crm.keyring_command: %m")));
		return 0;
	}
	length = fread(buffer, 1, MAX_KEYRING, pipe);
	status = ClosePipeStream(pipe);
	if (status != 0 || length >= MAX_KEYRING)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("crm.keyring_command failed"),
				 errdetail("Its exit status was %d.", status == -1 ? -1 : WEXITSTATUS(status))));
	return length;
}

/*
 * Decode a key of 64 hexadecimal digits or 44 characters of base64
 */
static bool
decode_key(const char *s, int length, unsigned char *key)
{
	unsigned char decoded[36];

	if (length == 2 * KEY_BYTES)
	{
		for (int i = 0; i < length; i++)
		{
			int value = isdigit((unsigned char) s[i]) ? s[i] - '0' : pg_ascii_tolower((unsigned char) s[i]) - 'a' + 10;

			if (!isxdigit((unsigned char) s[i]))
				return false;
			key[i / 2] = i % 2 ? key[i / 2] | value : value << 4;
		}
		return true;
	}
	if (length != 44 || s[43] != '=' || s[42] == '=' || EVP_DecodeBlock(decoded, (const unsigned char *) s, 44) != 33)
		return false;
	memcpy(key, decoded, KEY_BYTES);
	explicit_bzero(decoded, sizeof(decoded));
	return true;
}

/*
 * Split a line into at most limit words
 */
static int
split_words(const char *line, int length, const char **words, int *lengths, int limit)
{
	int count = 0;

	for (int i = 0; i < length;)
	{
		int from;

		while (i < length && isspace((unsigned char) line[i]))
			i++;
		if (i >= length || line[i] == '#')
			break;
		from = i;
		while (i < length && !isspace((unsigned char) line[i]))
			i++;
		if (count == limit)
			return limit + 1;
		words[count] = line + from;
		lengths[count++] = i - from;
	}
	return count;
}

static bool
word_is(const char *word, int length, const char *name)
{
	return length == (int) strlen(name) && memcmp(word, name, length) == 0;
}

/*
 * Read the keys out of buffer into parsed: how many, or minus the number of the line that is wrong
 */
static int
parse_keyring(const char *buffer, int length, KeyringKey *parsed)
{
	int count = 0;
	int line = 0;

	for (int from = 0; from < length;)
	{
		const char *end = memchr(buffer + from, '\n', length - from);
		int size = end ? end - buffer - from : length - from;
		const char *words[4];
		int lengths[4];
		int got = split_words(buffer + from, size, words, lengths, 4);
		int purpose = -1;
		uint64 id = 0;

		line++;
		from += size + 1;
		if (got == 0)
			continue;
		if (got != 4 || count >= MAX_KEYS)
			return -line;
		for (int i = 0; i < KEY_PURPOSES; i++)
			if (word_is(words[0], lengths[0], purpose_names[i]))
				purpose = i;
		for (int i = 0; i < lengths[1] && i < 11; i++)
			id = isdigit((unsigned char) words[1][i]) ? id * 10 + (words[1][i] - '0') : PG_UINT64_MAX / 100;
		if (purpose < 0 || id == 0 || id > PG_UINT32_MAX ||
			!(word_is(words[2], lengths[2], "active") || word_is(words[2], lengths[2], "old")) ||
			!decode_key(words[3], lengths[3], parsed[count].bytes))
			return -line;
		parsed[count].purpose = purpose;
		parsed[count].id = id;
		parsed[count].active = word_is(words[2], lengths[2], "active");
		for (int i = 0; i < count; i++)
		{
			bool same_purpose = parsed[i].purpose == parsed[count].purpose;

			/* One key for two things would let one be used to attack the other. */
			if ((same_purpose && (parsed[i].id == id || (parsed[i].active && parsed[count].active))) ||
				memcmp(parsed[i].bytes, parsed[count].bytes, KEY_BYTES) == 0)
				return -line;
		}
		count++;
	}
	return count;
}

static void
forget_keys(void)
{
	if (keys != NULL)
		explicit_bzero(keys, sizeof(KeyringKey) * MAX_KEYS);
	key_count = 0;
	loaded_at = 0;
	key_generation++;
}

/*
 * Read the keyring
 */
static void
load_keyring(void)
{
	char *buffer;
	int length;
	int count;
	KeyringKey *parsed;
	struct stat from;

	forget_keys();
	if ((keyring_file[0] != '\0') + (keyring_command[0] != '\0') != 1)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 keyring_file[0] ? errmsg("both crm.keyring_file and crm.keyring_command are set")
								 : errmsg("no keyring is configured"),
				 errhint("Set crm.keyring_file or crm.keyring_command in the server's configuration and reload it.")));
	memset(&from, 0, sizeof(from));
	buffer = palloc(MAX_KEYRING);
	parsed = palloc0(sizeof(KeyringKey) * MAX_KEYS);
	length = keyring_file[0] ? read_keyring_file(buffer, &from) : read_keyring_command(buffer);
	count = parse_keyring(buffer, length, parsed);
	explicit_bzero(buffer, MAX_KEYRING);
	pfree(buffer);
	if (count <= 0)
	{
		explicit_bzero(parsed, sizeof(KeyringKey) * MAX_KEYS);
		ereport(ERROR,
				(errcode(ERRCODE_CRM_KEYRING),
				 errmsg("the keyring cannot be read"),
				 count == 0 ? errdetail("It holds no key.") : errdetail("Line %d is wrong.", -count),
				 errhint("A line is \"purpose id status key\": enc, index or pseudonym; a number; active (one a purpose) or old; "
						 "32 bytes in base64 or hexadecimal, each key only once.")));
	}
	if (keys == NULL)
		keys = MemoryContextAllocZero(TopMemoryContext, sizeof(KeyringKey) * MAX_KEYS);
	memcpy(keys, parsed, sizeof(KeyringKey) * count);
	explicit_bzero(parsed, sizeof(KeyringKey) * MAX_KEYS);
	pfree(parsed);
	key_count = count;
	loaded_from = from;
	loaded_at = GetCurrentTimestamp();
	checked_at = loaded_at;
	settings_changed = false;
}

const KeyringKey *
keyring_keys_now(int *count, uint64 *generation)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();

	/* Looking once a second is often enough, and costs nothing. */
	if (settings_changed || loaded_at == 0)
		load_keyring();
	else if (now != checked_at && TimestampDifferenceExceeds(checked_at, now, 1000))
	{
		if (keyring_command[0] != '\0')
		{
			if (TimestampDifferenceExceeds(loaded_at, now, COMMAND_LIFE * 1000))
				load_keyring();
		}
		else
		{
			struct stat current;

			if (stat(keyring_file, &current) != 0 || current.st_ino != loaded_from.st_ino ||
				current.st_dev != loaded_from.st_dev || current.st_size != loaded_from.st_size ||
				current.st_mode != loaded_from.st_mode || current.st_uid != loaded_from.st_uid ||
				current.st_mtim.tv_sec != loaded_from.st_mtim.tv_sec ||
				current.st_mtim.tv_nsec != loaded_from.st_mtim.tv_nsec)
				load_keyring();
		}
		checked_at = now;
	}
	*count = key_count;
	*generation = key_generation;
	return keys;
}

const KeyringKey *
keyring_active(KeyPurpose purpose, uint64 *generation)
{
	int count;
	const KeyringKey *now = keyring_keys_now(&count, generation);

	for (int i = 0; i < count; i++)
		if (now[i].purpose == purpose && now[i].active)
			return &now[i];
	ereport(ERROR,
			(errcode(ERRCODE_CRM_KEYRING),
			 errmsg("the keyring has no active key for the purpose \"%s\"", purpose_names[purpose]),
			 errhint("Add a line \"%s 1 active KEY\" to the keyring.", purpose_names[purpose])));
}

const KeyringKey *
keyring_find(KeyPurpose purpose, uint32 id, uint64 *generation)
{
	int count;
	const KeyringKey *now = keyring_keys_now(&count, generation);

	for (int tries = 0;; tries++)
	{
		for (int i = 0; i < count; i++)
			if (now[i].purpose == purpose && now[i].id == id)
				return &now[i];
		/* A command may know by now what it did not know when it was asked. */
		if (tries > 0 || keyring_command[0] == '\0' ||
			!TimestampDifferenceExceeds(loaded_at, GetCurrentTimestamp(), 10 * 1000))
			return NULL;
		load_keyring();
		now = keyring_keys_now(&count, generation);
	}
}

void
keyring_derive(const unsigned char *key, int key_length, const char *info, int info_length, unsigned char *out)
{
	static const char salt[] = "crm/v1";
	unsigned char extracted[KEY_BYTES];
	unsigned int size = KEY_BYTES;
	unsigned char *block = palloc(info_length + 1);
	bool ok;

	/* RFC 5869; one block is all that 32 bytes take. */
	memcpy(block, info, info_length);
	block[info_length] = 1;
	ok = HMAC(EVP_sha256(), salt, sizeof(salt) - 1, key, key_length, extracted, &size) != NULL &&
		 HMAC(EVP_sha256(), extracted, KEY_BYTES, block, info_length + 1, out, &size) != NULL;
	explicit_bzero(extracted, sizeof(extracted));
	pfree(block);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("OpenSSL could not derive a key")));
}

/*
 * What the keyring holds, without the keys
 */
PG_FUNCTION_INFO_V1(keyring_keys);
Datum
keyring_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int count;
	uint64 generation;
	const KeyringKey *now = keyring_keys_now(&count, &generation);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		Datum values[3] = {CStringGetTextDatum(purpose_names[now[i].purpose]),
						   Int64GetDatum((int64) now[i].id),
						   BoolGetDatum(now[i].active)};
		bool nulls[3] = {false, false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
