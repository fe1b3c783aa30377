/// The role of packaging/ansible: it is YAML, its variables are described, and what it writes are options of the program.
module Agent.Repository.Tests.AnsibleTests

open System
open System.IO
open System.Text.RegularExpressions
open Agent.Build.Helm
open Agent.Sender
open Agent.TestSupport
open Expecto

let private folder = Path.Combine(Fixtures.root, "packaging", "ansible")
let private role = Path.Combine(folder, "roles", "ai_dashboard_agent")

let private files =
    lazy
        (Directory.GetFiles(folder, "*.yml", SearchOption.AllDirectories)
         |> Array.map (fun path -> Path.GetRelativePath(folder, path), Yaml.read (File.ReadAllText path))
         |> List.ofArray)

let private read (path: string) : Value =
    files.Value |> List.find (fst >> (=) path) |> snd

let rec private find (path: string list) (value: Value) : Value =
    match path, value with
    | [], _ -> value
    | name :: rest, Value.Map fields ->
        match List.tryFind (fst >> (=) name) fields with
        | Some(_, inner) -> find rest inner
        | None -> failtest $"no {name}"
    | "0" :: rest, Value.List(first :: _) -> find rest first
    | name :: _, _ -> failtest $"no {name}"

let private names (value: Value) : string list =
    match value with
    | Value.Map fields -> List.map fst fields
    | other -> failtest $"no map: %A{other}"

/// Every task of the role, with its file.
let private tasks =
    lazy
        [
            for path, value in files.Value do
                if path.Contains "/tasks/" || path.Contains "/handlers/" then
                    match value with
                    | Value.List items ->
                        for item in items do
                            path, item
                    | other -> failtest $"{path}: %A{other}"
        ]

let private textOf (path: string) =
    File.ReadAllText(Path.Combine(role, path))

/// The option that a variable stands for.
let private variables =
    lazy
        (Cli.describe ()
         |> Array.map _.Variable
         |> Array.filter (fun name -> name <> "")
         |> Set.ofArray)

[<Tests>]
let tests =
    testList
        "Ansible"
        [
            testCase "every variable of the role has a default and a description, and is used"
            <| fun () ->
                let defaults = names (read "roles/ai_dashboard_agent/defaults/main.yml")

                Expect.equal
                    (List.sort defaults)
                    (read "roles/ai_dashboard_agent/meta/argument_specs.yml"
                     |> find [ "argument_specs"; "main"; "options" ]
                     |> names
                     |> List.sort)
                    "described"

                let used =
                    [
                        for path in Directory.GetFiles(role, "*", SearchOption.AllDirectories) do
                            if path.Contains "/tasks/" || path.Contains "/templates/" then
                                File.ReadAllText path
                    ]
                    |> String.concat "\n"

                for name in defaults do
                    Expect.isTrue (Regex.IsMatch(used, $@"\b{name}\b")) name

                let known = "ai_dashboard_agent_copied" :: "ai_dashboard_agent_repository" :: defaults

                for hit in Regex.Matches(used, @"\bai_dashboard_agent_\w+") do
                    Expect.contains known hit.Value "a variable that the role has"

            testCase "what it writes are variables of the program"
            <| fun () ->
                for template in [ "templates/variables.j2"; "templates/enrol.conf.j2" ] do
                    let written =
                        [
                            for hit in Regex.Matches(textOf template, @"\bAI_DASHBOARD_[A-Z_]+(?==)") -> hit.Value
                        ]

                    Expect.isNonEmpty written template

                    for name in written do
                        Expect.isTrue (variables.Value.Contains name) name

                let example = read "agent.yml" |> find [ "0"; "roles"; "0"; "vars" ]

                for name in names example do
                    Expect.contains (names (read "roles/ai_dashboard_agent/defaults/main.yml")) name "the example's variables"

                for option in names (find [ "ai_dashboard_agent_options" ] example) do
                    let name = "AI_DASHBOARD_" + option.ToUpperInvariant().Replace('-', '_')
                    Expect.isTrue (variables.Value.Contains name) option

            testCase "secrets are in no log, and readable by root alone"
            <| fun () ->
                let secret = [ "ai_dashboard_agent_token"; "ai_dashboard_agent_enrol_key" ]

                let writing =
                    tasks.Value
                    |> List.filter (fun (_, task) ->
                        match task with
                        | Value.Map fields ->
                            fields
                            |> List.exists (fun (name, value) ->
                                name = "ansible.builtin.copy"
                                && (match value with
                                    | Value.Map fields ->
                                        fields
                                        |> List.exists (fun (name, value) ->
                                            name = "content"
                                            && (match value with
                                                | Value.Text text -> secret |> List.exists text.Contains
                                                | _ -> false))
                                    | _ -> false))
                        | _ -> false)

                Expect.hasLength writing 2 "token and key"

                for path, task in writing do
                    Expect.equal (find [ "no_log" ] task) (Value.Bool true) path
                    Expect.equal (find [ "ansible.builtin.copy"; "mode" ] task) (Value.Text "0600") path

                for name in secret do
                    Expect.equal
                        (read "roles/ai_dashboard_agent/meta/argument_specs.yml"
                         |> find [ "argument_specs"; "main"; "options"; name; "no_log" ])
                        (Value.Bool true)
                        name

                for template in Directory.GetFiles(Path.Combine(role, "templates")) do
                    for name in secret do
                        Expect.isFalse (File.ReadAllText(template).Contains("{{ " + name)) $"{template} has no secret"

            testCase "what is told of a change is a handler that there is"
            <| fun () ->
                let handlers =
                    [
                        for path, task in tasks.Value do
                            if path.Contains "/handlers/" then
                                find [ "name" ] task
                    ]

                let told =
                    [
                        for path, task in tasks.Value do
                            match task with
                            | Value.Map fields ->
                                match List.tryFind (fst >> (=) "notify") fields with
                                | Some(_, name) -> path, name
                                | None -> ()
                            | _ -> ()
                    ]

                Expect.isGreaterThan told.Length 4 "tasks that change what the service reads"

                for path, name in told do
                    Expect.contains handlers name path

            testCase "ansible-playbook reads it"
            <| fun () ->
                if not (File.Exists "/usr/bin/ansible-playbook") then
                    Skip.always "no ansible-playbook"

                Tools.succeed
                    [
                        "ANSIBLE_ROLES_PATH", Path.Combine(folder, "roles")
                        "HOME", Path.GetTempPath()
                    ]
                    "ansible-playbook"
                    [
                        "--syntax-check"
                        "--inventory"
                        "localhost,"
                        Path.Combine(folder, "agent.yml")
                    ]
                |> ignore
        ]
