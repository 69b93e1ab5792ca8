/*
 * Data keys of persons, one file each under crm.key_folder. Without its file nothing sealed for a person opens again, wherever a
 * copy of it lies: that is how an erasure reaches backups, so long as the folder is not in them.
 *
 * A key that is destroyed leaves a mark behind, so that a folder restored from a copy stays erased.
 */
#include "base/crm.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "privacy/keyring.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

char *crm_key_folder;

/* A key to destroy when the transaction commits. */
typedef struct Shred
{
	struct Shred *next;
	int level;
	char hash[SHA256_DIGEST_LENGTH * 2 + 1];
} Shred;

static Shred *shreds = NULL;
static bool callbacks_registered = false;

/*
 * The name of a person's files: a hash, so that the folder lists no customers
 */
static void
hash_person(const char *person, int length, char *hash)
{
	static const char prefix[] = "crm/person/";
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char *named = palloc(sizeof(prefix) + length);

	memcpy(named, prefix, sizeof(prefix) - 1);
	memcpy(named + sizeof(prefix) - 1, person, length);
	SHA256((unsigned char *) named, sizeof(prefix) - 1 + length, digest);
	pfree(named);
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
}

/*
 * The folder, after a look at who can read it
 */
const char *
person_key_folder(void)
{
	static char looked_at[MAXPGPATH] = "";
	static TimestampTz looked = 0;
	struct stat folder;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	/* Once a second is often enough. */
	if (looked != 0 && strcmp(looked_at, crm_key_folder) == 0 && !TimestampDifferenceExceeds(looked, now, 1000))
		return crm_key_folder;
	if (crm_key_folder == NULL || crm_key_folder[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CRM_PERSON_KEY),
				 errmsg("no key folder is configured"),
				 errhint("Set crm.key_folder in the server's configuration and reload it.")));
	if (crm_key_folder[0] != '/')
		ereport(ERROR, (errcode(ERRCODE_CRM_PERSON_KEY), errmsg("crm.key_folder is not an absolute path")));
	keyring_check_outside(crm_key_folder, "crm.key_folder");
	if (stat(crm_key_folder, &folder) != 0 || !S_ISDIR(folder.st_mode) || folder.st_uid != geteuid() ||
		(folder.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_CRM_PERSON_KEY),
				 errmsg("the key folder can be read by others, or is no folder of the server's user"),
				 errhint("Make it owned by the server's user with mode 0700.")));
	strlcpy(looked_at, crm_key_folder, sizeof(looked_at));
	looked = now;
	return crm_key_folder;
}

static void
person_path(char *path, const char *hash, const char *kind)
{
	snprintf(path, MAXPGPATH, "%s/%.2s/%s.%s", crm_key_folder, hash, hash, kind);
}

static bool
file_exists(const char *path)
{
	struct stat file;

	if (stat(path, &file) == 0)
		return true;
	if (errno != ENOENT)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not examine a person's key: %m")));
	return false;
}

/*
 * Write a new file that appears whole or not at all: false when it was there before
 */
static bool
create_file(const char *hash, const char *kind, const unsigned char *bytes, int length)
{
	char path[MAXPGPATH];
	char folder[MAXPGPATH];
	char temporary[MAXPGPATH];
	int fd;
	bool made;

	snprintf(folder, sizeof(folder), "%s/%.2s", crm_key_folder, hash);
	if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not make a folder in the key folder: %m")));
	person_path(path, hash, kind);
	if (snprintf(temporary, sizeof(temporary), "%s.%d", path, MyProcPid) >= (int) sizeof(temporary))
		ereport(ERROR, (errcode(ERRCODE_CRM_PERSON_KEY), errmsg("crm.key_folder is too long")));
	(void) unlink(temporary);
	fd = OpenTransientFilePerm(temporary, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
	if (fd < 0 || write(fd, bytes, length) != length || pg_fsync(fd) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not write a person's key: %m")));
	CloseTransientFile(fd);
	made = link(temporary, path) == 0;
	if (!made && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not write a person's key: %m")));
	(void) unlink(temporary);
	fsync_fname(folder, true);
	fsync_fname(crm_key_folder, true);
	return made;
}

/*
 * The data key of a person: false when there is none. create makes one, unless it was destroyed before.
 */
bool
person_key_get(const char *person, int length, bool create, unsigned char *key)
{
	char hash[SHA256_DIGEST_LENGTH * 2 + 1];
	char path[MAXPGPATH];
	char mark[MAXPGPATH];

	(void) person_key_folder();
	hash_person(person, length, hash);
	person_path(path, hash, "key");
	person_path(mark, hash, "shredded");
	if (file_exists(mark))
	{
		if (create)
			ereport(ERROR,
					(errcode(ERRCODE_CRM_PERSON_KEY),
					 errmsg("the data key of this person was destroyed"),
					 errhint("Give the person a new customer number.")));
		return false;
	}
	for (int tries = 0; tries < 2; tries++)
	{
		int fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW);

		if (fd >= 0)
		{
			int got = read(fd, key, KEY_BYTES);

			CloseTransientFile(fd);
			if (got == KEY_BYTES)
				return true;
			ereport(ERROR, (errcode(ERRCODE_CRM_PERSON_KEY), errmsg("the file of a person's data key is damaged")));
		}
		if (errno != ENOENT)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not open a person's key: %m")));
		if (!create)
			return false;
		if (!pg_strong_random(key, KEY_BYTES))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random key")));
		/* Whoever made it first wins: what is read back is what counts. */
		(void) create_file(hash, "key", key, KEY_BYTES);
	}
	return false;
}

/*
 * Destroy a key now: its bytes are overwritten before the file goes
 */
static void
shred_now(const char *hash)
{
	char path[MAXPGPATH];
	unsigned char zeroes[KEY_BYTES] = {0};
	int fd;

	/* The mark comes first: with it the key is dead, whatever happens to its file. */
	snprintf(path, sizeof(path), "%s/%.2s", crm_key_folder, hash);
	(void) mkdir(path, S_IRWXU);
	person_path(path, hash, "shredded");
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (fd < 0 || pg_fsync(fd) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not mark a person's key as destroyed: %m"),
				 errhint("Call shred_key again once the key folder is writable.")));
	if (fd >= 0)
		close(fd);
	person_path(path, hash, "key");
	fd = open(path, O_WRONLY | O_NOFOLLOW);
	if (fd >= 0)
	{
		if (write(fd, zeroes, sizeof(zeroes)) != sizeof(zeroes) || pg_fsync(fd) != 0)
			ereport(WARNING, (errcode_for_file_access(), errmsg("could not overwrite a person's key: %m")));
		close(fd);
	}
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not remove a person's key: %m"),
				 errhint("Call shred_key again once the key folder is writable.")));
}

/*
 * At the end of the transaction, destroy what was asked for if it committed
 */
static void
shred_at_end(XactEvent event, void *arg)
{
	if (shreds == NULL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that destroys a person's key")));
	if (event == XACT_EVENT_COMMIT)
		for (Shred *shred = shreds; shred != NULL; shred = shred->next)
			shred_now(shred->hash);
	/* The list lives in TopTransactionContext. */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		shreds = NULL;
}

static void
shred_at_subend(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (Shred *shred = shreds; shred != NULL; shred = shred->next)
			if (shred->level >= level)
				shred->level = level - 1;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (shreds != NULL && shreds->level >= level)
			shreds = shreds->next;
	}
}

/*
 * shred_key(person): destroy a person's data key when this transaction commits; is there one?
 */
PG_FUNCTION_INFO_V1(shred_key);
Datum
shred_key(PG_FUNCTION_ARGS)
{
	text *person = PG_GETARG_TEXT_PP(0);
	Shred *shred;
	char path[MAXPGPATH];
	bool found;

	PreventCommandIfReadOnly("shred_key()");
	(void) person_key_folder();
	if (!callbacks_registered)
	{
		RegisterXactCallback(shred_at_end, NULL);
		RegisterSubXactCallback(shred_at_subend, NULL);
		callbacks_registered = true;
	}
	shred = MemoryContextAlloc(TopTransactionContext, sizeof(Shred));
	hash_person(VARDATA_ANY(person), VARSIZE_ANY_EXHDR(person), shred->hash);
	person_path(path, shred->hash, "key");
	found = file_exists(path);
	shred->level = GetCurrentTransactionNestLevel();
	shred->next = shreds;
	shreds = shred;
	PG_RETURN_BOOL(found);
}

/*
 * has_key(person): is there a data key of this person?
 */
PG_FUNCTION_INFO_V1(has_key);
Datum
has_key(PG_FUNCTION_ARGS)
{
	text *person = PG_GETARG_TEXT_PP(0);
	char hash[SHA256_DIGEST_LENGTH * 2 + 1];
	char path[MAXPGPATH];
	char mark[MAXPGPATH];

	(void) person_key_folder();
	hash_person(VARDATA_ANY(person), VARSIZE_ANY_EXHDR(person), hash);
	person_path(path, hash, "key");
	person_path(mark, hash, "shredded");
	PG_RETURN_BOOL(file_exists(path) && !file_exists(mark));
}

/*
 * erasure_reach(): what an erasure reaches as this server is configured
 */
PG_FUNCTION_INFO_V1(erasure_reach);
Datum
erasure_reach(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(crm_key_folder != NULL && crm_key_folder[0] ? "backups" : "database"));
}
