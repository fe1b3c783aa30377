/// Where the state is that several dashboards share.
module Agent.Receiver.Tests.StateAddressTests

open Agent.Receiver
open Expecto

let private parsed (url: string) : StateAddress =
    match StateAddress.parse url with
    | Ok address -> address
    | Error(struct (_, reason)) -> failtest $"{url}: {reason}"

let private refusal (url: string) : string =
    match StateAddress.parse url with
    | Ok address -> failtest $"{url} is %A{address}"
    | Error(struct (_, reason)) -> reason

let private served (words: string list) : Result<ServeSettings, string list> =
    match DashboardCli.parse (Array.ofList ("serve" :: words)) with
    | Ok(DashboardCli.DashboardCommand.Serve settings) -> Ok settings
    | Ok other -> failtest $"%A{other}"
    | Error errors -> Error [ for error in errors -> error.Message ]

[<Tests>]
let tests =
    testList
        "State address"
        [
            testCase "user, host, port and database are those of the URL, and connections to other machines are checked"
            <| fun () ->
                Expect.equal
                    (parsed "postgres://ops@db.example:6432/gpus")
                    {
                        Host = "db.example"
                        Port = 6432
                        User = "ops"
                        Database = "gpus"
                        TlsMode = "verify-full"
                        RootCertificate = ""
                    }
                    "all of it"

                Expect.equal (parsed "postgresql://ops@db.example/gpus").Port 5432 "the usual port"
                Expect.equal (parsed "postgres://ops@127.0.0.1/gpus").TlsMode "prefer" "this machine"
                Expect.equal (parsed "postgres://ops@[::1]:5433/gpus").Host "::1" "without brackets"
                Expect.equal (parsed "postgres://ops@[::1]:5433/gpus").TlsMode "prefer" "this machine"
                Expect.equal (parsed "postgres://ops@db/gpus?sslmode=require").TlsMode "require" "as it is asked for"

                Expect.equal
                    (parsed "postgres://ops@db/gpus?sslmode=verify-ca&sslrootcert=/etc/ca.pem").RootCertificate
                    "/etc/ca.pem"
                    "the certificate"

                Expect.equal (parsed "postgres://o%40ps@db/g%20pus").User "o@ps" "decoded"
                Expect.equal (parsed "postgres://o%40ps@db/g%20pus").Database "g pus" "decoded"

            testCase "a socket is named by its directory"
            <| fun () ->
                let socket = parsed "postgres://ops@/gpus?host=/run/postgresql"
                Expect.equal socket.Host "/run/postgresql" "directory"
                Expect.isTrue socket.IsSocket "a socket"
                Expect.equal socket.TlsMode "prefer" "this machine"

            testCase "a password is refused, wherever the rest leads, and is not repeated"
            <| fun () ->
                for url in
                    [
                        "postgres://ops:secret@db/gpus"
                        "postgres://ops:secret@db"
                        "mysql://ops:secret@db/gpus"
                        "ops:secret@db/gpus"
                        "postgres://ops:sec@ret@db/gpus"
                        "postgres://ops@db/gpus?password=secret"
                        "postgres://ops@db/gpus?sslmode=require&sslpassword=secret"
                        "postgres://ops@db/gpus?pass%77ord=secret"
                        "host=db user=ops PassWord = secret dbname=gpus"
                        "postgres://ops:secret/gpus"
                        "postgres://ops:s3cret"
                    ] do
                    match StateAddress.parse url with
                    | Ok _ -> failtest url
                    | Error(struct (mayRepeat, reason)) ->
                        Expect.isFalse mayRepeat url
                        Expect.stringContains reason "--state-password-file" url

                match
                    served
                        [
                            "--metrics-url"
                            "http://vm:8428"
                            "--state"
                            "postgres://ops:secret@db/gpus"
                        ]
                with
                | Ok _ -> failtest "it was taken"
                | Error errors -> Expect.isFalse (errors |> List.exists _.Contains("secret")) $"%A{errors}"

            testCase "what merely looks like a password is none"
            <| fun () ->
                Expect.equal (parsed "postgres://password@db/password").Database "password" "a name"
                Expect.equal (parsed "postgres://ops@[::1]:5432/gpus").Port 5432 "an address"
                Expect.stringContains (refusal "postgres://db:5432/gpus") "names no user" "a port"
                Expect.stringContains (refusal "postgres://[::1]:5432/gpus") "names no user" "an address without a user"

            testCase "what is missing or unknown is named"
            <| fun () ->
                for url, part in
                    [
                        "", "is not the URL"
                        "sqlite:///x", "is not the URL"
                        "postgres://ops@db/gpus#x", "is not the URL"
                        "postgres://db/gpus", "names no user"
                        "postgres://ops@db", "names no database"
                        "postgres://ops@db/", "names no database"
                        "postgres://ops@db/a/b", "names no database"
                        "postgres://ops@/gpus", "names no host"
                        "postgres://ops@db:0/gpus", "has no host and port"
                        "postgres://ops@db:65536/gpus", "has no host and port"
                        "postgres://ops@d b/gpus", "has no host and port"
                        "postgres://ops@db/gpus?sslmode=maybe", "sslmode"
                        "postgres://ops@db/gpus?sslrootcert=ca.pem", "sslrootcert"
                        "postgres://ops@db/gpus?host=/run", "names another host"
                        "postgres://ops@db/gpus?pool=3", "other than sslmode"
                    ] do
                    Expect.stringContains (refusal url) part url

                Expect.equal (parsed "postgres://ops@db:65535/gpus").Port 65535 "the highest port"
                Expect.equal (parsed "postgres://ops@db:1/gpus").Port 1 "the lowest"

            testCase "of a certificate for other hosts four names are told, and that there are more"
            <| fun () ->
                let told count =
                    StateFault.sentence
                        (parsed "postgres://ops@db.example/gpus")
                        (StateFault.WrongName(Array.init count (fun index -> $"n{index}")))

                Expect.stringStarts (told 0) "the server's certificate is for no host, and not for db.example;" "none"
                Expect.stringStarts (told 4) "the server's certificate is for n0, n1, n2, n3, and not for" "four"
                Expect.stringStarts (told 5) "the server's certificate is for n0, n1, n2, n3, …, and not for" "five"

            testCase "names of 63 characters are the longest, and URLs of 2,000"
            <| fun () ->
                let name = String.replicate 63 "n"
                Expect.equal (parsed $"postgres://{name}@db/{name}").User name "63"
                Expect.stringContains (refusal $"postgres://{name}n@db/gpus") "names no user" "64"
                Expect.stringContains (refusal $"postgres://ops@db/{name}n") "names no database" "64"

                let url = "postgres://ops@db/gpus?sslrootcert=/"

                let filled length =
                    url + String.replicate (length - url.Length) "c"

                Expect.equal (parsed (filled 2000)).RootCertificate.Length (2000 - url.Length + 1) "2,000"
                Expect.stringContains (refusal (filled 2001)) "is not the URL" "2,001"

            testCase "serve takes it with a cluster of metrics alone, and a password's file with it alone"
            <| fun () ->
                let state = [ "--state"; "postgres://ops@db/gpus" ]

                match served (state @ [ "--metrics-url"; "http://vm:8428"; "--state-password-file"; "p" ]) with
                | Ok { State = ValueSome settings } ->
                    Expect.equal settings.PasswordFile "p" "the file"
                    Expect.equal settings.Address.Url "postgres://ops@db:5432/gpus?sslmode=verify-full" "the URL"
                | other -> failtest $"%A{other}"

                for words, part in
                    [
                        state, "samples are kept in SQLite"
                        [ "--metrics-url"; "http://vm:8428"; "--state-password-file"; "p" ], "needs --state as well"
                    ] do
                    match served words with
                    | Error [ sentence ] -> Expect.stringContains sentence part $"%A{words}"
                    | other -> failtest $"%A{other}"

            testCase "accounts in the state go with it alone, and without files"
            <| fun () ->
                let state = [ "--metrics-url"; "http://vm:8428"; "--state"; "postgres://ops@db/gpus" ]

                match served (state @ [ "--accounts-in-state" ]) with
                | Ok settings -> Expect.isTrue (settings.Access.AccountsInState && settings.Access.HasLogin) "people log in"
                | other -> failtest $"%A{other}"

                for words, part in
                    [
                        [ "--accounts-in-state" ], "needs --state as well"
                        state @ [ "--accounts-in-state"; "--users-file"; "u" ], "cannot be combined with --users-file or --tokens-file"
                        state @ [ "--accounts-in-state"; "--tokens-file"; "t" ], "cannot be combined with --users-file or --tokens-file"
                    ] do
                    match served words with
                    | Error [ sentence ] -> Expect.stringContains sentence part $"%A{words}"
                    | other -> failtest $"%A{other}"

                match DashboardCli.parse [| "users"; "list"; "--state"; "postgres://ops@db/gpus"; "--users-file"; "u" |] with
                | Error [| error |] -> Expect.stringContains error.Message "cannot be combined with --users-file" "one of the two"
                | other -> failtest $"%A{other}"

            testCase "commands about the database alone name pg_dump"
            <| fun () ->
                for words in [ [ "backup"; "f" ]; [ "check" ]; [ "restore"; "f" ] ] do
                    match DashboardCli.parse (Array.ofList (words @ [ "--state"; "postgres://ops@db/gpus" ])) with
                    | Error [| error |] -> Expect.stringContains error.Message "pg_dump" $"%A{words}"
                    | other -> failtest $"%A{other}"
        ]
