namespace Agent.Build.Helm

open System
open System.IO

/// What is installed under which name.
type Release =
    {
        Name: string
        Namespace: string
        /// Who manages the objects: `Helm`.
        Service: string
    }

/// A chart of packaging/helm, read whole.
type Chart =
    {
        Name: string
        /// That of Chart.yaml.
        Description: Value
        Values: Value
        /// The templates, by the names of their files.
        Templates: (string * string) list
    }

[<RequireQualifiedAccess>]
module Chart =
    let private nameOf (path: string) = string (Path.GetFileName path)

    /// Reads the chart in a directory.
    let read (directory: string) : Chart =
        let text (name: string) =
            File.ReadAllText(Path.Combine(directory, name))

        {
            Name = nameOf directory
            Description = Yaml.read (text "Chart.yaml")
            Values = Yaml.read (text "values.yaml")
            Templates =
                Directory.GetFiles(Path.Combine(directory, "templates"))
                |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
                |> Array.map (fun path -> nameOf path, File.ReadAllText path)
                |> List.ofArray
        }

    let private chartMember (chart: Chart) (name: string) : Value =
        match chart.Description with
        | Value.Map entries ->
            entries
            |> List.tryFind (fst >> (=) name)
            |> Option.map snd
            |> Option.defaultValue Value.Null
        | _ -> Value.Null

    /// What the templates make of the chart's values with these put over them, by the names of the files: those that make nothing are left out. An error is
    /// one sentence that names the file and the action.
    let render (release: Release) (changes: Value) (chart: Chart) : Result<(string * string) list, string> =
        let root =
            Value.Map
                [
                    "Values", Yaml.over changes chart.Values
                    "Release",
                    Value.Map
                        [
                            "Name", Value.Text release.Name
                            "Namespace", Value.Text release.Namespace
                            "Service", Value.Text release.Service
                        ]
                    "Chart",
                    Value.Map
                        [
                            for name, field in [ "Name", "name"; "Version", "version"; "AppVersion", "appVersion" ] do
                                name, chartMember chart field
                        ]
                ]

        try
            GoTemplate.Templates(chart.Templates).Render root
            |> List.filter (fun (name, text) -> not (name.StartsWith '_') && text.Trim() <> "")
            |> Ok
        with GoTemplate.Fault message ->
            Error $"{chart.Name}: {message}"
