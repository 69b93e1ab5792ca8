/*
 * The only place that tests PG_VERSION_NUM: what differs between PostgreSQL 15 and 18 gets one name here.
 */
#ifndef CRM_COMPAT_H
#define CRM_COMPAT_H

#include "postgres.h"

#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "crm needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Input functions report errors softly since 16; before, they raise them. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define CRM_ESCONTEXT(fcinfo) ((fcinfo)->context)
#define crm_ereturn(escontext, result, ...) ereturn(escontext, result, __VA_ARGS__)
#else
#define CRM_ESCONTEXT(fcinfo) NULL
#define crm_ereturn(escontext, result, ...)                                                                            \
	do                                                                                                                 \
	{                                                                                                                  \
		(void) (escontext);                                                                                            \
		ereport(ERROR, __VA_ARGS__);                                                                                   \
	} while (0)
#endif

/* Calls an input function; false when it reported an error softly, which it can since 16. */
#if PG_VERSION_NUM >= 160000
#define crm_input_call(function, text, escontext, result)                                                              \
	DirectInputFunctionCallSafe(function, text, InvalidOid, -1, escontext, result)
#else
#define crm_input_call(function, text, escontext, result)                                                              \
	((void) (escontext), *(result) = DirectFunctionCall1(function, CStringGetDatum(text)), true)
#endif

/* 18 has only pg_noreturn, which stands elsewhere in a declaration. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* Where ANALYZE keeps a column's statistics target, and how it yields. */
#if PG_VERSION_NUM >= 170000
#define CRM_STATTARGET(stats) ((stats)->attstattarget)
#else
#define CRM_STATTARGET(stats) ((stats)->attr->attstattarget)
#endif
#if PG_VERSION_NUM >= 180000
#define crm_vacuum_delay_point() vacuum_delay_point(true)
#else
#define crm_vacuum_delay_point() vacuum_delay_point()
#endif

/* May a role execute a function? The includer includes utils/acl.h. */
#if PG_VERSION_NUM >= 160000
#define crm_function_aclcheck(function, role, mode) object_aclcheck(ProcedureRelationId, function, role, mode)
#else
#define crm_function_aclcheck(function, role, mode) pg_proc_aclcheck(function, role, mode)
#endif

/* Since 16 permissions stand beside the range table instead of in it; the fields have the same names. */
#if PG_VERSION_NUM >= 160000
#define CRM_CHECK_PERMS_ARGS List *crm_range_table, List *crm_permissions, bool crm_abort
#define CRM_CHECK_PERMS_PASS crm_range_table, crm_permissions, crm_abort
#define CRM_CHECK_PERMS_LIST crm_permissions
#define CrmPermission RTEPermissionInfo
#else
#define CRM_CHECK_PERMS_ARGS List *crm_range_table, bool crm_abort
#define CRM_CHECK_PERMS_PASS crm_range_table, crm_abort
#define CRM_CHECK_PERMS_LIST crm_range_table
#define CrmPermission RangeTblEntry
#endif

/* Sends a text behind its length; until 16 one said whether that counts itself. The includer has libpq/pqformat.h. */
#if PG_VERSION_NUM >= 170000
#define crm_send_counted_text(buf, text, length) pq_sendcountedtext(buf, text, length)
#else
#define crm_send_counted_text(buf, text, length) pq_sendcountedtext(buf, text, length, false)
#endif

#if PG_VERSION_NUM >= 180000
#define CRM_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "crm", .version = CRM_VERSION)
#else
#define CRM_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* A minimal tuple: 18 asks how much room to leave before it. */
#if PG_VERSION_NUM >= 180000
#define crm_heap_form_minimal_tuple(desc, values, isnull) heap_form_minimal_tuple(desc, values, isnull, 0)
#else
#define crm_heap_form_minimal_tuple(desc, values, isnull) heap_form_minimal_tuple(desc, values, isnull)
#endif

/* Which indexes an update leaves to be written: a flag, since 16 also "only the summarizing ones". */
#if PG_VERSION_NUM >= 160000
#define CrmUpdateIndexes TU_UpdateIndexes
#define CRM_UPDATE_NO_INDEXES TU_None
#define crm_insert_index_tuples(info, slot, estate, which)                                                             \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL, (which) == TU_Summarizing)
#define crm_insert_new_index_tuples(info, slot, estate)                                                                \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false)
#define crm_insert_speculative_index_tuples(info, slot, estate, conflict)                                              \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL, false)
#else
#define CrmUpdateIndexes bool
#define CRM_UPDATE_NO_INDEXES false
#define crm_insert_index_tuples(info, slot, estate, which)                                                             \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL)
#define crm_insert_new_index_tuples(info, slot, estate)                                                                \
	ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL)
#define crm_insert_speculative_index_tuples(info, slot, estate, conflict)                                              \
	ExecInsertIndexTuples(info, slot, estate, false, true, conflict, NIL)
#endif

#if PG_VERSION_NUM >= 170000
#define crm_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define crm_index_insert_cleanup(index, info) ((void) (info))
#endif

#if PG_VERSION_NUM >= 180000
#define crm_index_beginscan(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, NULL, keys, 0)
#else
#define crm_index_beginscan(heap, index, snapshot, keys) index_beginscan(heap, index, snapshot, keys, 0)
#endif

/* Goes down a B-tree to the page of a key. The includer has access/nbtree.h. */
#if PG_VERSION_NUM >= 170000
#define crm_bt_search(index, heap, key, buffer) _bt_search(index, heap, key, buffer, BT_READ)
#elif PG_VERSION_NUM >= 160000
#define crm_bt_search(index, heap, key, buffer) _bt_search(index, heap, key, buffer, BT_READ, NULL)
#else
#define crm_bt_search(index, heap, key, buffer) ((void) (heap), _bt_search(index, key, buffer, BT_READ, NULL))
#endif

#endif
