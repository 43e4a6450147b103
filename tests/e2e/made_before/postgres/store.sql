CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.audit (
    seq bigint NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    detail text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL
);
CREATE SEQUENCE public.audit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_seq_seq OWNED BY public.audit.seq;
CREATE TABLE public.cut_offs (
    scope text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL,
    until_ms bigint,
    at bigint NOT NULL,
    by text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.keys (
    id text NOT NULL COLLATE pg_catalog."C",
    sealed bytea NOT NULL,
    created_at bigint NOT NULL,
    "position" integer NOT NULL
);
CREATE TABLE public.policies (
    org text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    default_ttl bigint,
    max_ttl bigint
);
CREATE TABLE public.requests (
    key bytea NOT NULL,
    fingerprint bytea NOT NULL,
    result text NOT NULL COLLATE pg_catalog."C",
    at bigint NOT NULL
);
CREATE TABLE public.revisions (
    number bigint NOT NULL,
    mark bytea NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE public.store (
    id integer NOT NULL,
    epoch text NOT NULL COLLATE pg_catalog."C",
    revision bigint NOT NULL,
    clock bigint NOT NULL
);
CREATE SEQUENCE public.store_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.store_id_seq OWNED BY public.store.id;
CREATE TABLE public.tokens (
    id text NOT NULL COLLATE pg_catalog."C",
    key_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    app text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    minter_id text NOT NULL COLLATE pg_catalog."C",
    minter_branches bytea NOT NULL,
    created_at_ms bigint NOT NULL,
    expires_at bigint,
    caveats text NOT NULL COLLATE pg_catalog."C",
    revoked_at bigint,
    revoked_by text NOT NULL COLLATE pg_catalog."C",
    revoke_reason text NOT NULL COLLATE pg_catalog."C",
    token_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    lineage bytea,
    parent text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    last_used_at bigint
);
CREATE TABLE public.withdrawals (
    token_id text NOT NULL COLLATE pg_catalog."C",
    branch_id bytea NOT NULL,
    revision bigint NOT NULL,
    ends_at bigint
);
ALTER TABLE ONLY public.audit ALTER COLUMN seq SET DEFAULT nextval('public.audit_seq_seq'::regclass);
ALTER TABLE ONLY public.store ALTER COLUMN id SET DEFAULT nextval('public.store_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0004');
INSERT INTO public.audit VALUES (1, 1796078572, 'operator', 'key.added', 'k16ea176d', '', 0);
INSERT INTO public.audit VALUES (2, 1796078572, 'operator', 'token.minted', 'AaIuoBQReDiGTW4DCuKl7Q', 'org', 0);
INSERT INTO public.audit VALUES (3, 1796078584, 'AaIuoBQReDiGTW4DCuKl7Q', 'token.minted', 'AaIuoEIrdjuRFLTLxVoPhQ', 'org', 0);
INSERT INTO public.audit VALUES (4, 1796078587, 'operator', 'key.added', 'k5937fa3a', '', 0);
INSERT INTO public.audit VALUES (5, 1796078598, 'operator', 'token.minted', 'AaIuoHfPeXiVQPBTfSbSyw', 'org', 0);
INSERT INTO public.audit VALUES (6, 1796078602, 'operator', 'key.withdrawn', 'k16ea176d', 'first key', 1);
INSERT INTO public.audit VALUES (7, 1796078617, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoMN3fpSFGn7N6Jq3cA', 'org', 0);
INSERT INTO public.audit VALUES (8, 1796078619, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoMqJd2u9Z7i2LQzQDg', 'deploy', 0);
INSERT INTO public.audit VALUES (9, 1796078621, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoNPxe-a9vWXUbhPLwQ', 'readonly', 0);
INSERT INTO public.audit VALUES (10, 1796078623, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoNzifgymuNofFNcQXA', 'machine-exec', 0);
INSERT INTO public.audit VALUES (11, 1796078625, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoOLReaiBlOc0z08IBg', 'custom', 0);
INSERT INTO public.audit VALUES (12, 1796078627, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoOodfBiEvGZa230wRg', 'service', 0);
INSERT INTO public.audit VALUES (13, 1796078629, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoPKgewyTx-Xcz9KoMg', 'service', 0);
INSERT INTO public.audit VALUES (14, 1796078630, 'AaIuoPKgewyTx-Xcz9KoMg', 'token.minted', 'AaIuoPgEduGfX1Y-5XHcqw', 'deploy', 0);
INSERT INTO public.audit VALUES (15, 1796078632, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.registered', 'AaIuoMN3fpSFGn7N6Jq3cA/GXaKMY_j3GxQap5ACQ81XA', 'derived', 0);
INSERT INTO public.audit VALUES (16, 1796078636, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.registered', 'AaIuoMN3fpSFGn7N6Jq3cA/nnDl8BEXP6wK6M0t6_2_Iw', 'branch', 0);
INSERT INTO public.audit VALUES (17, 1796078640, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoRx-dryy11WtWAPqiw', 'deploy', 0);
INSERT INTO public.audit VALUES (18, 1796078641, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoSHic6iIWCA9icV6Hg', 'deploy', 0);
INSERT INTO public.audit VALUES (19, 1796078642, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoSbkdyCnvdBzE7iLZA', 'deploy', 0);
INSERT INTO public.audit VALUES (20, 1796078644, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoSujfbmWS9qBRXDohg', 'service', 0);
INSERT INTO public.audit VALUES (21, 1796078645, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoTFheBGQcKXxyUkDGA', 'org', 0);
INSERT INTO public.audit VALUES (22, 1796078647, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoTovct-OUCQnU8FYtg', 'deploy', 0);
INSERT INTO public.audit VALUES (23, 1796078650, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoURVfmerBP7MDASOhw', 'org', 0);
INSERT INTO public.audit VALUES (24, 1796078651, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoUn1c9OVktW5YIvn2w', 'deploy', 0);
INSERT INTO public.audit VALUES (25, 1796078654, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuoVI0fIuiCT1PsT8laQ', 'service', 0);
INSERT INTO public.audit VALUES (26, 1796078660, 'AaIuoHfPeXiVQPBTfSbSyw', 'policy.set', 'bounded/deploy', 'default 3600, maximum 7200', 0);
INSERT INTO public.audit VALUES (27, 1796078662, 'AaIuoHfPeXiVQPBTfSbSyw', 'policy.set', 'acme/personal', 'default None, maximum 1800', 0);
INSERT INTO public.audit VALUES (28, 1796078664, 'AaIuoHfPeXiVQPBTfSbSyw', 'policy.deleted', 'acme/personal', '', 0);
INSERT INTO public.audit VALUES (29, 1796078665, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.revoked', 'AaIuoRx-dryy11WtWAPqiw', 'leaked', 2);
INSERT INTO public.audit VALUES (30, 1796078668, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.revoked', 'AaIuoMN3fpSFGn7N6Jq3cA/9e70e5f011173fac0ae8cd2debfdbf23', 'branch', 3);
INSERT INTO public.audit VALUES (31, 1796078670, 'possession of AaIuoSHic6iIWCA9icV6Hg', 'token.revoked', 'AaIuoSHic6iIWCA9icV6Hg', 'presented', 4);
INSERT INTO public.audit VALUES (32, 1796078673, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.revoked', 'AaIuoPgEduGfX1Y-5XHcqw', 'nightly', 5);
INSERT INTO public.audit VALUES (33, 1796078675, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.revoked', 'AaIuoSbkdyCnvdBzE7iLZA', 'shop', 6);
INSERT INTO public.audit VALUES (34, 1796078676, 'AaIuoHfPeXiVQPBTfSbSyw', 'subject.cut_off', 'service:old-gate', 'until 2026-11-30T22:44:36.000Z: old-gate', 7);
INSERT INTO public.audit VALUES (35, 1796078679, 'AaIuoHfPeXiVQPBTfSbSyw', 'org.cut_off', 'gone', 'until 2026-11-30T22:44:39.000Z: gone', 8);
INSERT INTO public.audit VALUES (36, 1796078682, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.minted', 'AaIuocCTegiQEVl_RrKMQw', 'org', 0);
INSERT INTO public.audit VALUES (37, 1796078688, 'AaIuoHfPeXiVQPBTfSbSyw', 'token.revoked', 'AaIuoUn1c9OVktW5YIvn2w', 'late', 9);
INSERT INTO public.audit VALUES (38, 1796078691, 'AaIuoHfPeXiVQPBTfSbSyw', 'subject.cut_off', 'service:late-gate', 'until 2026-11-30T22:44:51.000Z: late-gate', 10);
INSERT INTO public.cut_offs VALUES ('key', 'k16ea176d', 1, NULL, 1796078602, 'operator', 'first key');
INSERT INTO public.cut_offs VALUES ('subject', 'service:old-gate', 7, 1796078676000, 1796078676, 'AaIuoHfPeXiVQPBTfSbSyw', 'old-gate');
INSERT INTO public.cut_offs VALUES ('org', 'gone', 8, 1796078679000, 1796078679, 'AaIuoHfPeXiVQPBTfSbSyw', 'gone');
INSERT INTO public.cut_offs VALUES ('subject', 'service:late-gate', 10, 1796078691000, 1796078691, 'AaIuoHfPeXiVQPBTfSbSyw', 'late-gate');
INSERT INTO public.keys VALUES ('k16ea176d', '\x0c795a7a72868b1f05b55b687a9c65bd8d1f6b78ce66be67028e806de4968429abee49a938ada0d428aedcc69fa9e79fe0d6dbab55c457d3e5e7a5093f3f88a01edd0f9cf404e330', 1796078572, 1);
INSERT INTO public.keys VALUES ('k5937fa3a', '\x602e68c6e082ecc2cb8598a1121593240be50240d4a00015d84f5c11f33b77c3725f4e0a5fc814afda75050452929e02f7c2334e7c6dd4502692b7860cb8188299cdfb243fb97303', 1796078587, 2);
INSERT INTO public.policies VALUES ('bounded', 'deploy', 3600, 7200);
INSERT INTO public.requests VALUES ('\xa1ec23a6ddb70aa30b9aa8a60889ca5a18b9e88f94d4ee30c3ddd198ccdf847e', '\xe46c18a5f60e941b1186814d3fbf977565bc8a6596065d7d733ff5d82303c477', 'AaIuoEIrdjuRFLTLxVoPhQ', 1796078584);
INSERT INTO public.requests VALUES ('\x213fd961159a736f21dbc12ce9369cbac7c753ab45fa9baa5acec97d5ddae434', '\x7da3974cd553c87c5cbe4e3b3302258d79c135dfaa30dc180d9f51416b854d94', 'AaIuoMN3fpSFGn7N6Jq3cA', 1796078617);
INSERT INTO public.requests VALUES ('\xbece2bb4aaff0f09b25fc53a31842d9e1dac5f29ee8569c7abf7020fb5b0f25c', '\xa7eb0b9441979dd66a60ce13815de5b30e48deb061443837bc51a8ad93a89b8c', 'AaIuoMqJd2u9Z7i2LQzQDg', 1796078619);
INSERT INTO public.requests VALUES ('\x6c343640f0ebed73abc1800799b0b64b905be3ac2b5c133d12def1e0a1b8d9f2', '\x6195c283d1028663a5641089b4854705ae5b351ba7d94a3f4830582a586a8b7a', 'AaIuoNPxe-a9vWXUbhPLwQ', 1796078621);
INSERT INTO public.requests VALUES ('\x9d8120ea02e6c4da97e78dfd26ab21695833192d5ca590095115f8692c979935', '\xf3a767111ac54f962fb92191766847f741364f36e217a82fb08620a80a632fec', 'AaIuoNzifgymuNofFNcQXA', 1796078623);
INSERT INTO public.requests VALUES ('\x56a19e5bea5b17968b306282f746d0e7c9a69f6a2e0c3ced8d9ec4589d10299d', '\x81c10e5dfd5c8601239b763043fb627a45a84c6bf5e7d4605ec7689a0c11fa58', 'AaIuoOLReaiBlOc0z08IBg', 1796078625);
INSERT INTO public.requests VALUES ('\xde84620a925c460c6bed005ea780bee98fc02f397780f1871234093a16ed8434', '\xbfb38e8aad9df65a2485d76aaab8fbf64a3b1388ca7d1700af2fd7985653ba3e', 'AaIuoOodfBiEvGZa230wRg', 1796078627);
INSERT INTO public.requests VALUES ('\x1a192b90e4fc1413550773f5404483e75d67f8b6a6bfd3d5415ac0a34cef7a74', '\xbe42220b5c040e6c710fdd0287f587e70ee905314a33f01fdcb476b751a76256', 'AaIuoPKgewyTx-Xcz9KoMg', 1796078629);
INSERT INTO public.requests VALUES ('\x59419706eaf06cc80407f97a1c839066aaebbe789869960970593ca9170e64d2', '\x7099fee8500356d616ded316b69dfab6a9ed3be8c576cb4a283a859e3f33234c', 'AaIuoPgEduGfX1Y-5XHcqw', 1796078630);
INSERT INTO public.requests VALUES ('\xb73d3fc45ac031ffe37b9f35d3dc2b617b104bcc7398142ac41c37c4cd0e039d', '\x655ed29e58773d937837d600047cbb93358850c8a804b344fa6b3206d5e549fa', 'AaIuoRx-dryy11WtWAPqiw', 1796078640);
INSERT INTO public.requests VALUES ('\xe3f0d72627311405a6e232300fa5a74e92656c28dca94c662dde063647058d6f', '\x49299b86e963092d2dbc063949fd8e0a7bce4f7b80d4cc025ec3cb00ac391b8a', 'AaIuoSHic6iIWCA9icV6Hg', 1796078641);
INSERT INTO public.requests VALUES ('\xd58aeb0656280ee72d0251eff400bd8cebc5f21f4da9a4da0f74269576baf0c4', '\x9a53a35e23c5abb3cbf172a6ce06b1c70e1bc0aecc5590a01af91f0b4772a17c', 'AaIuoSbkdyCnvdBzE7iLZA', 1796078642);
INSERT INTO public.requests VALUES ('\x5e7669b1182d9f624f2b3bcb53841817b063e2a3a7a032b01047acdfe101d35b', '\x43feb077af4a696efce88b83c800b71a56b757cff885a4aa160a68cfcf8cea4a', 'AaIuoSujfbmWS9qBRXDohg', 1796078644);
INSERT INTO public.requests VALUES ('\xe27893f866c368a9be73ac3a9bac5915e3dbd87753dc227d08f1e3b09928a935', '\x235e40f12817ba5b3d6fda0de95bcb37a36296abe83e599a9a7c9bf03140e46f', 'AaIuoTFheBGQcKXxyUkDGA', 1796078645);
INSERT INTO public.requests VALUES ('\x50a3d63dffedf175a1c7d46235fd0a8568427ccbd1321e8376cfcadbb497cba7', '\x95fa41565e2847768a95b12aae7afea47cbd89167910f8440b4c032ec8cce001', 'AaIuoTovct-OUCQnU8FYtg', 1796078647);
INSERT INTO public.requests VALUES ('\xd54858db57d7f0532a8b03e67a126a6c7c9e7860b31d02813f3f0476f1c217f0', '\xd30795f9d7666c60bbd527467c99261f33c5962c7a996cbc5f03adf7148c93c5', 'AaIuoURVfmerBP7MDASOhw', 1796078650);
INSERT INTO public.requests VALUES ('\x5ae7081d2b656250c5daa66867d52430908bdb3899b747ab3294f4c4c453c08e', '\x3110519acd2fb06238db195709a32b5e874d4367f7629648ed3f869fe41872b9', 'AaIuoUn1c9OVktW5YIvn2w', 1796078651);
INSERT INTO public.requests VALUES ('\xffc8afc94781bd36057970bffe6901bba8ffe5e209a6dc8a5283affd1b6e6ba7', '\x1885ac6723a3a9b1b1fd91ae34d53efb18d9a43e63aba9c689a2554e8ad97192', 'AaIuoVI0fIuiCT1PsT8laQ', 1796078654);
INSERT INTO public.requests VALUES ('\x7b41da71e07d16a135a4cdae00b4e90e8def90c54f64d2d33a42d4dc63d51d6c', '\x9526da63e5380bbe38174f57ddf72f1b6d2423813654b7072d87cfb2ad21929f', '1 2', 1796078665);
INSERT INTO public.requests VALUES ('\x281802eb9db9f591dcf461eac134b0236aed14e0454392c230a0648518b9d8c2', '\xd0d4fd4d4408bb03e4de09bc0e46848f0efda4e669610d3da4fede6ef5e828f4', '1 3', 1796078668);
INSERT INTO public.requests VALUES ('\x2d7ee0ae1bfa49f7ae20882ec989b0399dcd8ea4c4f869be3c66883a8da80e3a', '\xb90e479b7d9a759d60982ca708cd1f2760faade2f1bd65fd67f616d5f68f1e66', '1 5', 1796078673);
INSERT INTO public.requests VALUES ('\x0b416acc97a5e696305684e2de0577fdc078d3ee92c22da463b507c77e9a6292', '\xdfda1f17955750365a5a94dc246ed14628fa217bad2021c7dc3e9bf69694d757', '1 6', 1796078675);
INSERT INTO public.requests VALUES ('\x1b549fb45869cc3df81e1cebb6b97a90f35d0aaab64f8f3088dfd72e0434b0f4', '\x0b9a0a0705329553b61a848dc07400e0a7d157c62c7e3a0e37a3ff35a9323054', '1 7', 1796078676);
INSERT INTO public.requests VALUES ('\x8ad678e77997215ac1ed8b83e21d1a12cfa9df6f143c69a3d109b932a395a557', '\x5845f5d1bbc9d44f091f7c397a6d550975858dfa9a5b365bd62dc45879fefc82', '1 8', 1796078679);
INSERT INTO public.requests VALUES ('\x9b9fd4ce2f29238ce4072e3746f1fcd7b9c8524c849ee25377a48ddb7740f5b1', '\x4e311f91ee84e6080136df928a8df75daf7c4b9e8eb4e7d0b7dc566fac66ffc5', 'AaIuocCTegiQEVl_RrKMQw', 1796078682);
INSERT INTO public.requests VALUES ('\x2d1b657ef3b4a4ce823525676b4649fac913eef02c75162f51a5a9b89d2e1344', '\x2eea1d200ac9162057ab0fe7ab7b5e4d56b58fa462f2ceb9a053493f6e163845', '1 9', 1796078688);
INSERT INTO public.requests VALUES ('\x5628dbb25dc44129bfc2cfb269f50576832a8c32854140b7943f430e3584e972', '\x84e149f28464476b54bf8880f9984da91ac5602efe1a8b5009a15743a45596e5', '1 10', 1796078691);
INSERT INTO public.revisions VALUES (0, '\x0bd97f16f2480b83', 1796078571);
INSERT INTO public.revisions VALUES (1, '\xa93eaa91bbddff73', 1796078602);
INSERT INTO public.revisions VALUES (2, '\x83f1ed017b2c2cfe', 1796078665);
INSERT INTO public.revisions VALUES (3, '\x17e058930fc659ef', 1796078668);
INSERT INTO public.revisions VALUES (4, '\x7a64d99aa466723f', 1796078670);
INSERT INTO public.revisions VALUES (5, '\x4c609b9acb2b4feb', 1796078673);
INSERT INTO public.revisions VALUES (6, '\x46e2ae6485fb7b90', 1796078675);
INSERT INTO public.revisions VALUES (7, '\xc3de374d531e105e', 1796078676);
INSERT INTO public.revisions VALUES (8, '\x3137737f480e277b', 1796078679);
INSERT INTO public.revisions VALUES (9, '\x7826323b657e7fce', 1796078688);
INSERT INTO public.revisions VALUES (10, '\x7fc9e8dacd88da58', 1796078692);
INSERT INTO public.store VALUES (1, '41b75e5a', 10, 1796078692);
INSERT INTO public.tokens VALUES ('AaIuoEIrdjuRFLTLxVoPhQ', 'k16ea176d', 'first-key', 'org', 'acme', '', '', 'AaIuoBQReDiGTW4DCuKl7Q', '\x4281ac38845339d032fc858b35c6f5bb3356f96b1d40ed21d88c33222b1c52189fd78dc1b555979ef97d4a017bba2b8a', 1796078584363, 2111438572, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438572]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438584]"]', NULL, '', '', 'AaIuoEIrdjuRFLTLxVoPhQ', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoBQReDiGTW4DCuKl7Q', 'k16ea176d', 'Admin token', 'org', 'almond', '', '', '', '\x', 1796078572561, 2111438572, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438572]"]', NULL, '', '', 'AaIuoBQReDiGTW4DCuKl7Q', NULL, '', 1796078580);
INSERT INTO public.tokens VALUES ('AaIuoMqJd2u9Z7i2LQzQDg', 'k5937fa3a', 'deploy', 'deploy', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078619273, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438619]"]', NULL, '', '', 'AaIuoMqJd2u9Z7i2LQzQDg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoNPxe-a9vWXUbhPLwQ', 'k5937fa3a', 'readonly', 'readonly', 'acme', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078621681, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"r\"]", "[\"valid\",null,2111438621]"]', NULL, '', '', 'AaIuoNPxe-a9vWXUbhPLwQ', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoNzifgymuNofFNcQXA', 'k5937fa3a', 'exec', 'machine-exec', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078623970, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"if_present\",[[\"commands\",[[\"exact\",\"df\",\"-h\"]]]],\"r\"]", "[\"action\",\"rC\"]", "[\"valid\",null,2111438623]"]', NULL, '', '', 'AaIuoNzifgymuNofFNcQXA', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoOLReaiBlOc0z08IBg', 'k5937fa3a', 'custom', 'custom', 'acme', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078625489, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"r\"]", "[\"apps\",{\"api\":\"*\"}]", "[\"valid\",null,2111438625]"]', NULL, '', '', 'AaIuoOLReaiBlOc0z08IBg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoMN3fpSFGn7N6Jq3cA', 'k5937fa3a', 'org', 'org', 'acme', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078617463, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438617]"]', NULL, '', '', 'AaIuoMN3fpSFGn7N6Jq3cA', NULL, '', 1796078640);
INSERT INTO public.tokens VALUES ('AaIuoOodfBiEvGZa230wRg', 'k5937fa3a', 'Service token', 'service', 'almond', '', 'service:gate', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078627357, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"features\",{\"decisions\":\"r\"}]", "[\"valid\",null,2111438627]"]', NULL, '', '', 'AaIuoOodfBiEvGZa230wRg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoMN3fpSFGn7N6Jq3cA/GXaKMY_j3GxQap5ACQ81XA', 'k5937fa3a', 'derived', 'org', 'acme', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078632633, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438617]", "[\"apps\",{\"web\":\"*\"}]", "[\"action\",\"rw\"]", "[\"label\",\"nocstPgvAWYucEfjZ8_rPw\",\"derived\"]"]', NULL, '', '', 'AaIuoMN3fpSFGn7N6Jq3cA', '\x8675d562933c22718b0ed9d822ee02e9cbb8902a0f8034f38bac5107ab782889c40e1dcc571eefbfe0cf80dbd26bc539ced85b4e7466fb31c0e22b5f080e8c11738d8bc7d6e04580ea07acbd292aacd4523188b7fba36956f38daf211197def0d9232e3b56bc5797689f73e498d0bec519768a318fe3dc6c506a9e40090f355c', 'AaIuoMN3fpSFGn7N6Jq3cA', NULL);
INSERT INTO public.tokens VALUES ('AaIuoPKgewyTx-Xcz9KoMg', 'k5937fa3a', 'Service token', 'service', 'acme', '', 'service:ci', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078629536, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438629]"]', NULL, '', '', 'AaIuoPKgewyTx-Xcz9KoMg', NULL, '', 1796078580);
INSERT INTO public.tokens VALUES ('AaIuoPgEduGfX1Y-5XHcqw', 'k5937fa3a', 'nightly', 'deploy', 'acme', 'web', '', 'AaIuoPKgewyTx-Xcz9KoMg', '\x56f786a829deac2c0bf458f08b8b5385aed79e00c737db7e663900cc2aa4ad2b0f47e519e6e4aadf482705afc41569a5a167c9dc5350a928870b0aa8bff573f08a67656605097d6885112a62f6ff731f', 1796078630916, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438629]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438630]"]', 1796078673, 'AaIuoHfPeXiVQPBTfSbSyw', 'nightly', 'AaIuoPgEduGfX1Y-5XHcqw', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoMN3fpSFGn7N6Jq3cA/nnDl8BEXP6wK6M0t6_2_Iw', 'k5937fa3a', 'branch', 'org', 'acme', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078636858, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"valid\",null,2111438617]", "[\"action\",\"rw\"]", "[\"label\",\"kyoxwczdbVrOz_xLEI0lsA\",\"branch\"]"]', 1796078668, 'AaIuoHfPeXiVQPBTfSbSyw', 'branch', 'AaIuoMN3fpSFGn7N6Jq3cA', '\x8675d562933c22718b0ed9d822ee02e9cbb8902a0f8034f38bac5107ab782889c40e1dcc571eefbfe0cf80dbd26bc539ced85b4e7466fb31c0e22b5f080e8c11738d8bc7d6e04580ea07acbd292aacd4ae4d87db28b32db505e6cbf059bbea5b9e70e5f011173fac0ae8cd2debfdbf23', 'AaIuoMN3fpSFGn7N6Jq3cA', NULL);
INSERT INTO public.tokens VALUES ('AaIuoSHic6iIWCA9icV6Hg', 'k5937fa3a', 'presented', 'deploy', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078641634, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438641]"]', 1796078670, 'possession of AaIuoSHic6iIWCA9icV6Hg', 'presented', 'AaIuoSHic6iIWCA9icV6Hg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoRx-dryy11WtWAPqiw', 'k5937fa3a', 'leaked', 'deploy', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078640254, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438640]"]', 1796078665, 'AaIuoHfPeXiVQPBTfSbSyw', 'leaked', 'AaIuoRx-dryy11WtWAPqiw', NULL, '', 1796078640);
INSERT INTO public.tokens VALUES ('AaIuoSbkdyCnvdBzE7iLZA', 'k5937fa3a', 'shop', 'deploy', 'acme', 'shop', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078642916, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"shop\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438642]"]', 1796078675, 'AaIuoHfPeXiVQPBTfSbSyw', 'shop', 'AaIuoSbkdyCnvdBzE7iLZA', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoHfPeXiVQPBTfSbSyw', 'k5937fa3a', 'Admin token', 'org', 'almond', '', '', '', '\x', 1796078598095, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]"]', NULL, '', '', 'AaIuoHfPeXiVQPBTfSbSyw', NULL, '', 1796078700);
INSERT INTO public.tokens VALUES ('AaIuoSujfbmWS9qBRXDohg', 'k5937fa3a', 'Service token', 'service', 'almond', '', 'service:old-gate', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078644131, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"features\",{\"decisions\":\"r\"}]", "[\"valid\",null,2111438644]"]', NULL, '', '', 'AaIuoSujfbmWS9qBRXDohg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoTFheBGQcKXxyUkDGA', 'k5937fa3a', 'gone', 'org', 'gone', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078645601, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"gone\",\"*\"]", "[\"valid\",null,2111438645]"]', NULL, '', '', 'AaIuoTFheBGQcKXxyUkDGA', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoURVfmerBP7MDASOhw', 'k5937fa3a', 'lost-org', 'org', 'lost', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078650453, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"lost\",\"*\"]", "[\"valid\",null,2111438650]"]', NULL, '', '', 'AaIuoURVfmerBP7MDASOhw', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoVI0fIuiCT1PsT8laQ', 'k5937fa3a', 'Service token', 'service', 'almond', '', 'service:late-gate', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078654004, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"features\",{\"decisions\":\"r\"}]", "[\"valid\",null,2111438654]"]', NULL, '', '', 'AaIuoVI0fIuiCT1PsT8laQ', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoUn1c9OVktW5YIvn2w', 'k5937fa3a', 'late', 'deploy', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078651893, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438651]"]', 1796078688, 'AaIuoHfPeXiVQPBTfSbSyw', 'late', 'AaIuoUn1c9OVktW5YIvn2w', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuoTovct-OUCQnU8FYtg', 'k5937fa3a', 'lost', 'deploy', 'acme', 'web', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078647855, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"acme\",\"*\"]", "[\"if_present\",[[\"apps\",{\"web\":\"*\"}],[\"features\",{\"builder\":\"*\",\"wg\":\"*\"}],[\"storage_objects\",{}]],\"r\"]", "[\"if_present\",[[\"app_features\",{\"images\":\"*\"}]],\"*\"]", "[\"valid\",null,2111438647]"]', NULL, '', '', 'AaIuoTovct-OUCQnU8FYtg', NULL, '', NULL);
INSERT INTO public.tokens VALUES ('AaIuocCTegiQEVl_RrKMQw', 'k5937fa3a', 'gone-again', 'org', 'gone', '', '', 'AaIuoHfPeXiVQPBTfSbSyw', '\xf777b5c3e36ea19127bc062346dd338f8d9661b80d5e309eea8de92a4976e6abaee88f41eb4eb8da57315b9d5ddaf9e3', 1796078682259, 2111438598, '["[\"org\",\"*\",\"*\"]", "[\"valid\",null,2111438598]", "[\"org\",\"gone\",\"*\"]", "[\"valid\",null,2111438682]"]', NULL, '', '', 'AaIuocCTegiQEVl_RrKMQw', NULL, '', NULL);
INSERT INTO public.withdrawals VALUES ('AaIuoRx-dryy11WtWAPqiw', '\x', 2, 2111438598);
INSERT INTO public.withdrawals VALUES ('AaIuoMN3fpSFGn7N6Jq3cA', '\x9e70e5f011173fac0ae8cd2debfdbf23', 3, 2111438598);
INSERT INTO public.withdrawals VALUES ('AaIuoSHic6iIWCA9icV6Hg', '\x', 4, 2111438598);
INSERT INTO public.withdrawals VALUES ('AaIuoPgEduGfX1Y-5XHcqw', '\x', 5, 2111438598);
INSERT INTO public.withdrawals VALUES ('AaIuoSbkdyCnvdBzE7iLZA', '\x', 6, 2111438598);
INSERT INTO public.withdrawals VALUES ('AaIuoUn1c9OVktW5YIvn2w', '\x', 9, 2111438598);
SELECT pg_catalog.setval('public.audit_seq_seq', 38, true);
SELECT pg_catalog.setval('public.store_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.cut_offs
    ADD CONSTRAINT cut_offs_pkey PRIMARY KEY (scope, name, revision);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_position_key UNIQUE ("position");
ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_pkey PRIMARY KEY (org, kind);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.revisions
    ADD CONSTRAINT revisions_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_pkey PRIMARY KEY (token_id, branch_id);
CREATE INDEX cut_offs_by_revision ON public.cut_offs USING btree (revision);
CREATE INDEX requests_by_time ON public.requests USING btree (at);
CREATE INDEX tokens_by_app ON public.tokens USING btree (org, app, created_at_ms, id);
CREATE INDEX tokens_by_minter ON public.tokens USING btree (minter_id);
CREATE INDEX tokens_by_org ON public.tokens USING btree (org, created_at_ms, id);
CREATE INDEX tokens_by_subject ON public.tokens USING btree (subject);
CREATE INDEX tokens_by_token ON public.tokens USING btree (token_id);
CREATE INDEX withdrawals_by_end ON public.withdrawals USING btree (ends_at);
CREATE INDEX withdrawals_by_revision ON public.withdrawals USING btree (revision);
