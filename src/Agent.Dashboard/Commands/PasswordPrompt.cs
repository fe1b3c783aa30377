using System.Text;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>Asks for a new password: twice and without showing it at a terminal, else as the first line of standard input.</summary>
internal static class PasswordPrompt
{
    /// <summary>The password, or a sentence.</summary>
    public static FSharpResult<string, string> Ask(string name, TextWriter errors)
    {
        if (Console.IsInputRedirected)
        {
            return Check(FirstLine(Console.OpenStandardInput()));
        }

        errors.Write($"Password for {name}: ");
        var first = Hidden(errors);
        errors.Write("The same again: ");

        return Hidden(errors) == first ? Check(first) : Error("the two passwords differ");
    }

    private static FSharpResult<string, string> Check(string? password) =>
        password is null ? Error($"the password is longer than {Credentials.LongestPassword} characters")
        : password.Length == 0 ? Error("no password was given: type it, or send it as the first line of standard input")
        : password.Length < Access.ShortestPassword ? Error($"a password has {Access.ShortestPassword} characters or more")
        : FSharpResult<string, string>.NewOk(password);

    private static string? FirstLine(Stream input)
    {
        // Read by the byte: a line that never ends is not kept.
        var bytes = new List<byte>();

        for (int next; (next = input.ReadByte()) >= 0 && next != '\n';)
        {
            if (bytes.Count == Credentials.LongestPassword)
            {
                return null;
            }

            bytes.Add((byte)next);
        }

        return Encoding.UTF8.GetString([.. bytes]).TrimEnd('\r');
    }

    private static string? Hidden(TextWriter errors)
    {
        var typed = new StringBuilder();

        while (typed.Length <= Credentials.LongestPassword)
        {
            var key = Console.ReadKey(intercept: true);

            switch (key.Key)
            {
                case ConsoleKey.Enter:
                    errors.WriteLine();
                    return typed.ToString();
                case ConsoleKey.Backspace:
                    typed.Length = Math.Max(0, typed.Length - 1);
                    break;
                default:
                    if (!char.IsControl(key.KeyChar))
                    {
                        typed.Append(key.KeyChar);
                    }

                    break;
            }
        }

        errors.WriteLine();
        return null;
    }

    private static FSharpResult<string, string> Error(string sentence) => FSharpResult<string, string>.NewError(sentence);
}
